"""The paper's listener without MFCCs.

Reproduces: configs/lhg_base.py without M_T in the A-FFM.
Command:
  python -m lhg_jax.train --config configs/ablation_no_mfcc.py --workdir out/ablation_no_mfcc
after the two `prepare` commands of configs/lhg_base.py.
Time: not yet measured (meant for an accelerator). Expected score: not yet measured at this size; that of a
very small setting is in docs/benchmarks.md.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import load_config

base = load_config(Path(__file__).with_name("lhg_base.py"))
config = dataclasses.replace(base, model=dataclasses.replace(base.model, use_mfcc=False))
