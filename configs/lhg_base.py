"""The listener of Chang et al., Hierarchical Semantic Perceptual Listener Head Video Generation (MM '23).

Reproduces: the model of section 4 (HA2G's audio encoder at its full size, six-layer bidirectional GRU, Eq. 2
and Eq. 6) on prepared dyads. The paper gives neither d nor tau, lambda, w1, w2, batch size or schedule;
d = 128, tau = 0.1 and the rest below are this project's.
Command:
  python -m lhg_jax.prepare --source synthetic --hours 10 --seed 0 --split train --out out/base/train
  python -m lhg_jax.prepare --source synthetic --hours 1 --seed 0 --split valid --out out/base/valid
  python -m lhg_jax.train --config configs/lhg_base.py --workdir out/lhg_base
Time: not yet measured (meant for an accelerator). Expected score: not yet measured at this size; that of a
very small setting is in docs/benchmarks.md.
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
from lhg_jax.models.listener import ListenerConfig

config = TrainConfig(
    model=ListenerConfig(
        coeff=70,
        audio_filters=(32, 64, 128, 256),
        audio_depths=(3, 4, 6, 3),
        level_size=128,
        text_channels=(300, 300, 300, 300),
        fusion_size=384,
        fusion_blocks=3,
        hidden=256,
        layers=6,
        dropout=0.1,
        dtype="bfloat16",
    ),
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
    train=LoopConfig(batch_size=256, steps=60_000, seed=0, log_every=50, eval_every=2000),
    loss=LossConfig(
        motion="paper",
        contrastive="paper",
        motion_options={"w1": 1.0, "w2": 1.0},
        contrastive_weight=0.01,
        temperature=0.1,
        chunk=4096,  # the larger, the faster on a GPU: 1.1 GB of similarities at batch 256
    ),
    optimizer=OptimizerConfig(
        learning_rate=1e-3, warmup_steps=2000, weight_decay=0.01, clip_norm=1.0, ema_decay=0.999
    ),
    augment=AugmentConfig(),
    checkpoint=CheckpointConfig(every=2000, keep=3),
)
