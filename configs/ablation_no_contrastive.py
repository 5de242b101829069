"""The paper's listener without its contrastive loss.

Reproduces: configs/lhg_base.py with lambda = 0: words and sound meet in the A-FFM only.
Command:
  python -m lhg_jax.train --config configs/ablation_no_contrastive.py --workdir out/ablation_no_contrastive
after the two `prepare` commands of configs/lhg_base.py.
Time: not yet measured (meant for an accelerator). Expected score: not yet measured at this size; that of a
very small setting is in docs/benchmarks.md.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

base = load_config(Path(__file__).with_name("lhg_base.py"))
config = dataclasses.replace(
    base, loss=dataclasses.replace(base.loss, contrastive="none", contrastive_weight=0.0)
)
