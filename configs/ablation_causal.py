"""The paper's listener in one direction, as streaming needs it, on features that do not hear the future.

Reproduces: configs/lhg_base.py with a causal encoder and a forward GRU: a frame of the listener depends on
the speaker's next frame at most. The clips are prepared with --causal: a running loudness in place of the
clip's loudest step, differences of the past, words once they are spoken, motion relative to a moving anchor.
On clips prepared without it, only the network is causal: the features hear the whole clip.
Command:
  python -m lhg_jax.prepare --causal --hours 10 --seed 0 --split train --out out/causal/train
  python -m lhg_jax.prepare --causal --hours 1 --seed 0 --split valid --out out/causal/valid
  python -m lhg_jax.train --config configs/ablation_causal.py --workdir out/ablation_causal
Time: not yet measured (meant for an accelerator). Expected score: not yet measured.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

base = load_config(Path(__file__).with_name("lhg_base.py"))
config = dataclasses.replace(
    base,
    model=dataclasses.replace(base.model, bidirectional=False),
    data=dataclasses.replace(base.data, train="out/causal/train", evaluation="out/causal/valid"),
)
