"""The paper's listener hearing only the highest level of the audio encoder.

Reproduces: configs/lhg_base.py with f^high alone in the A-FFM (Eq. 2 still compares with all three levels).
Command:
  python -m lhg_jax.train --config configs/ablation_high_level_only.py --workdir out/ablation_high_level_only
after the two `prepare` commands of configs/lhg_base.py.
Time: not yet measured (meant for an accelerator). Expected score: not yet measured at this size; that of a
very small setting is in docs/benchmarks.md.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

base = load_config(Path(__file__).with_name("lhg_base.py"))
config = dataclasses.replace(base, model=dataclasses.replace(base.model, levels=("high",)))
