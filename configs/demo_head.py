"""The demo listener's second stage: a flow head on a trunk.

Reproduces: a flow head like that in lhg_jax/assets/demo.safetensors, of clips made in the same way.
Command:
  make demo-model SPEECH=DIR
or, when its first stage is done and clips are prepared (see the Makefile),
  python -m lhg_jax.train --config configs/demo_head.py --workdir out/demo_head \
    --config.start.listener=out/demo_voices/listener.safetensors
Time: not measured apart from the first stage's.
Expected score: lhg_jax/assets/demo_model_card.md, "Drawn listeners".
"""

from lhg_jax.config import (
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    HeadConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
    TrainConfig,
)
from lhg_jax.models.flow_head import FlowHeadConfig

config = TrainConfig(
    model=FlowHeadConfig(steps=16, guidance=2.0),
    data=DataConfig(
        train="out/synthetic/head_train,out/synthetic/head_everyday", evaluation="out/synthetic/head_valid"
    ),
    train=LoopConfig(batch_size=512, steps=7500, seed=0, log_every=50, eval_every=2000),
    loss=LossConfig(),
    optimizer=OptimizerConfig(
        learning_rate=1e-3, warmup_steps=100, weight_decay=0.03, clip_norm=1.0, ema_decay=0.995
    ),
    augment=AugmentConfig(),
    checkpoint=CheckpointConfig(every=500, keep=2),
    head=HeadConfig(),
)
