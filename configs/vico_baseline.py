"""The ViCo challenge's LSTM listener (Zhou et al., ECCV 2022) under this project's trainer: the row to beat.

Reproduces: the official network (hidden 96, two LSTM layers without bias) and the official loss, on the data
of configs/lhg_base.py and with MFCCs of the whole sound instead of the official per-frame ones.
Command:
  python -m lhg_jax.train --config configs/vico_baseline.py --workdir out/vico_baseline
after the two `prepare` commands of configs/lhg_base.py.
Time: not yet measured. Expected score: not yet measured with these settings; those of shorter runs are in
docs/benchmarks.md.
"""

from lhg_jax.config import (
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
    TrainConfig,
)
from lhg_jax.models.vico_lstm import ViCoConfig

config = TrainConfig(
    model=ViCoConfig(coeff=70, hidden=96, layers=2),
    data=DataConfig(
        train="out/base/train",
        evaluation="out/base/valid",
        crop_frames=90,
        eval_frames=450,
        eval_batch_size=64,
        threads=1,
        workers=4,
        prefetch=8,
    ),
    train=LoopConfig(batch_size=64, steps=20_000, seed=0, log_every=50, eval_every=2000),
    loss=LossConfig(motion="vico", contrastive="none", contrastive_weight=0.0),
    optimizer=OptimizerConfig(
        learning_rate=1e-3, warmup_steps=500, weight_decay=0.0, clip_norm=1.0, ema_decay=0.999
    ),
    augment=AugmentConfig(drop_motion=0.0, drop_words=0.0),
    checkpoint=CheckpointConfig(every=2000, keep=3),
)
