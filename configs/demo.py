"""The mean listener of the demo that the package ships: small enough for two CPU cores, on synthetic dyads.

Reproduces: the mean listener in lhg_jax/assets/demo.safetensors (scores: lhg_jax/assets/demo_model_card.md).
Command:
  make demo-model
or this stage alone,
  python -m lhg_jax.prepare --source synthetic --listeners constant --hours 3 --seed 0 --split train \\
    --out out/synthetic/train
  python -m lhg_jax.prepare --source synthetic --listeners constant --hours 0.2 --seed 0 --split valid \\
    --out out/synthetic/valid
  python -m lhg_jax.train --config configs/demo.py --workdir out/demo
Then it goes on for 6,000 steps in noisier rooms, with everyday sentences and, with SPEECH=DIR, recorded
voices (Makefile).
Time: 26 minutes of training on two CPU cores that did other work as well; the 6,000 steps 130, on a machine
under load (96 for the first 4,000, 34 for the last 2,000).
Expected score: on 60 held-out dyads, after the first 2,400 steps, nod F1 0.77, shakes 0.97, smile 0.97,
mirroring 0.81, blinks 0.99 (tools/export_demo.py).
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

STEPS = 2400

config = TrainConfig(
    model=ListenerConfig(
        coeff=70,
        audio_filters=(2, 8, 16, 32),
        audio_depths=(1, 1, 1, 1),
        level_size=32,
        text_channels=(64, 64, 64),
        fusion_size=80,
        fusion_blocks=2,
        fusion_taps=21,
        hidden=128,
        layers=2,
    ),
    data=DataConfig(
        train="out/synthetic/train",
        evaluation="out/synthetic/valid",
        crop_frames=178,
        eval_frames=178,
        eval_batch_size=8,
        threads=1,
    ),
    train=LoopConfig(batch_size=8, steps=STEPS, seed=0, log_every=20, eval_every=500),
    loss=LossConfig(
        motion="squared",
        contrastive="paper",
        motion_options={"w1": 2.0, "w2": 64.0, "pose": 8.0},
        contrastive_weight=0.0001,  # hardly any: to compare contrastive losses, start from lhg_base
        temperature=0.1,
    ),
    optimizer=OptimizerConfig(
        learning_rate=3e-3, warmup_steps=100, weight_decay=0.01, clip_norm=1.0, ema_decay=0.995
    ),
    augment=AugmentConfig(
        mirror=0.0,  # a shake begins to one side: seen both ways round, its mean is no shake at all
        gain_db=6.0,
        noise_db=1.0,
        time_masks=1,
        time_mask_steps=8,
        band_masks=1,
        band_mask_bands=12,
        tracking_exp=0.02,
        tracking_deg=1.0,
        tracking_trans=0.04,
        drop_motion=0.15,
        drop_words=0.1,
    ),
    checkpoint=CheckpointConfig(every=200, keep=2),
)
