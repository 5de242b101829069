"""The paper's listener at the size of small.py, computed in float32 and in bfloat16.

Reproduces: the loss curves in docs/benchmarks.md, "bfloat16 and float32".
Command:
  python -m lhg_jax.prepare --source synthetic --hours 0.2 --seed 100 --split train --out out/bench/train
  python -m lhg_jax.prepare --source synthetic --hours 0.05 --seed 100 --split test --out out/bench/test
  python tools/sweep.py configs/grids/precision.py --seeds 0 --out out/precision
Time: some 15 minutes on two busy cores, most of them for bfloat16, which CPUs emulate. The loss at each step
stands in OUT/*/seed0/metrics.jsonl; expected: curves within 0.3 %.
"""

import dataclasses
import runpy
from pathlib import Path

_paper = runpy.run_path(str(Path(__file__).with_name("small.py")))["configs"]["lhg_base"]

configs = {
    dtype: dataclasses.replace(_paper, model=dataclasses.replace(_paper.model, dtype=dtype))
    for dtype in ("float32", "bfloat16")
}
