"""A quick look at the sweep: the paper's listener, six ablations, the ViCo baseline; very small and short.

Reproduces: nothing; 200 steps teach no setting a nod, and half of its crops are mirrored, which averages
shakes away. What the paper's parts are worth is measured with grids/evidence.py.
Command:
  python -m lhg_jax.prepare --source synthetic --hours 1 --seed 100 --split train --out out/bench/train
  python -m lhg_jax.prepare --source synthetic --hours 0.1 --seed 100 --split test --out out/bench/test
  python -m lhg_jax.prepare --causal --hours 1 --seed 100 --split train --out out/bench/causal_train
  python -m lhg_jax.prepare --causal --hours 0.1 --seed 100 --split test --out out/bench/causal_test
  python tools/sweep.py configs/grids/small.py --seeds 0 1 2 --out out/small
  python tools/trivial_listeners.py --train out/bench/train --test out/bench/test --out out/small
  python tools/sweep.py configs/grids/small.py --seeds 0 1 2 --out out/small --table-only
Time: 46 minutes of training on two cores at other work as well. Expected score: none is kept.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import (
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    LoopConfig,
    OptimizerConfig,
    load_config,
)
from lhg_jax.models.vico_lstm import ViCoConfig

NAMES = (
    "lhg_base",
    "vico_baseline",
    "ablation_no_contrastive",
    "ablation_high_level_only",
    "ablation_no_text",
    "ablation_no_mfcc",
    "ablation_causal",
    "ablation_no_motion_constraint",
)
STEPS = 200
SMALL = {
    "audio_filters": (4, 8, 8, 16),
    "audio_depths": (1, 1, 1, 1),
    "level_size": 16,
    "text_channels": (32, 32),
    "fusion_size": 64,
    "fusion_blocks": 1,
    "fusion_taps": 21,
    "hidden": 64,
    "layers": 1,
    "dtype": "float32",
}


def small(name: str):
    """A file of configs/ at the size of this grid, everything else equal for all."""
    config = load_config(Path(__file__).parent.parent / f"{name}.py")
    sizes = {} if isinstance(config.model, ViCoConfig) else SMALL
    clips = "out/bench/causal_" if name == "ablation_causal" else "out/bench/"
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, **sizes),
        data=DataConfig(
            train=f"{clips}train",
            evaluation=f"{clips}test",
            crop_frames=90,
            eval_frames=602,
            eval_batch_size=8,
            probe_clips=100,
            threads=1,
        ),
        train=LoopConfig(batch_size=8, steps=STEPS, seed=0, log_every=20, eval_every=STEPS),
        optimizer=OptimizerConfig(
            learning_rate=3e-3, warmup_steps=20, weight_decay=0.01, clip_norm=1.0, ema_decay=0.99
        ),
        augment=AugmentConfig(drop_motion=0.0, drop_words=0.0),
        checkpoint=CheckpointConfig(every=100, keep=1),
    )


configs = {name: small(name) for name in NAMES}
