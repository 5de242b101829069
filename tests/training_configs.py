"""Small configurations of training runs."""

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
from lhg_jax.models.vico_lstm import ViCoConfig

CROP = 6


def make_config(folder, *, steps=4, **sections):
    """The smallest model there is, on a folder of `make_folder`, with every augmentation."""
    values = {
        "model": ViCoConfig(coeff=70, hidden=4, layers=1),
        "data": DataConfig(str(folder), str(folder), CROP, eval_frames=8, eval_batch_size=8, threads=1),
        "train": LoopConfig(batch_size=8, steps=steps, log_every=1, eval_every=100),
        "loss": LossConfig("paper", "none", contrastive_weight=0.0),
        "optimizer": OptimizerConfig(warmup_steps=1),
        "augment": AugmentConfig(),
        "checkpoint": CheckpointConfig(every=2, keep=2),
    }
    return TrainConfig(**values | sections)


def listener_config(folder):
    """Everything that could differ between layouts: batch norm, contrastive loss, EMA."""
    model = ListenerConfig(
        coeff=70,
        audio_filters=(4, 4, 8, 16),
        audio_depths=(1, 1, 1, 1),
        level_size=8,
        text_channels=(16,),
        fusion_size=16,
        fusion_blocks=1,
        hidden=8,
        layers=1,
    )
    return make_config(
        folder,
        model=model,
        data=DataConfig(str(folder), str(folder), CROP, eval_frames=8, eval_batch_size=8, threads=1),
        train=LoopConfig(batch_size=8, steps=20, log_every=1, eval_every=20),
        loss=LossConfig("paper", "paper", contrastive_weight=0.1),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=5),
    )
