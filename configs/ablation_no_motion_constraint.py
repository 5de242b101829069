"""The paper's listener without the motion constraint.

Reproduces: configs/lhg_base.py with w1 = w2 = 0 in Eq. 6: errors of the changes between frames do not count.
Command:
  python -m lhg_jax.train --config configs/ablation_no_motion_constraint.py --workdir out/no_constraint
after the two `prepare` commands of configs/lhg_base.py.
Time: not yet measured (meant for an accelerator). Expected score: not yet measured at this size; that of a
very small setting is in docs/benchmarks.md.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

base = load_config(Path(__file__).with_name("lhg_base.py"))
config = dataclasses.replace(base, loss=dataclasses.replace(base.loss, motion_options={"w1": 0.0, "w2": 0.0}))
