"""What the paper's parts are worth: its listener, ablations, contrastive variants, the ViCo baseline.

Reproduces: docs/benchmarks.md, "What the paper's parts are worth".
Command:
  make evidence-data SPEECH=DIR
  python tools/sweep.py configs/grids/evidence.py --seeds 0 1 2 --out out/evidence/sweep
  make evidence-table SPEECH=DIR
The listener keeps known rules, so that what there is to learn can be learned, and is scored rule by rule.
The speakers of the test clips are heard in recordings, and in no other split. All rows have the same clips
(the causal row: the same dyads, as features that hear no future), crops, steps, optimiser and augmentation,
without mirroring. The paper's listener is trained with Eq. 6 with squared norms; `eq6_as_printed` has the
norms.
Time: see docs/benchmarks.md. Expected score: the table there.
"""

import dataclasses
from pathlib import Path

from lhg_jax.config import HeadConfig, LossConfig, OptimizerConfig, StartConfig, TrainConfig, load_config
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.models.vico_lstm import ViCoConfig

STEPS = 1000
HEAD_STEPS = 2000
CLIPS = "out/evidence/"
PAPER = "paper"  # the row that others are compared with, and whose listener gets the generative head
BASELINE = "vico_baseline"

demo = load_config(Path(__file__).parent.parent / "demo.py")
paper = dataclasses.replace(
    demo,
    model=dataclasses.replace(
        demo.model,
        audio_filters=(2, 4, 8, 16),
        level_size=32,
        text_channels=(48, 48),
        fusion_size=64,
        fusion_blocks=2,
        hidden=96,
        layers=1,
    ),
    data=dataclasses.replace(
        demo.data,
        train=f"{CLIPS}train",
        evaluation=f"{CLIPS}valid",
        crop_frames=118,
        eval_frames=602,
        eval_batch_size=8,
    ),
    train=dataclasses.replace(demo.train, batch_size=8, steps=STEPS, log_every=50, eval_every=250),
    loss=dataclasses.replace(demo.loss, contrastive_weight=0.01),
    optimizer=dataclasses.replace(demo.optimizer, ema_decay=0.99),
    checkpoint=dataclasses.replace(demo.checkpoint, every=100, keep=1),
)


def with_model(**changes) -> TrainConfig:
    """The paper's listener with another model."""
    return dataclasses.replace(paper, model=dataclasses.replace(paper.model, **changes))


def with_loss(config: TrainConfig = paper, **changes) -> TrainConfig:
    """With another loss."""
    return dataclasses.replace(config, loss=dataclasses.replace(config.loss, **changes))


def without_contrastive(config: TrainConfig) -> TrainConfig:
    """As `with_loss`."""
    return with_loss(config, contrastive="none", contrastive_weight=0.0)


def with_clips(config: TrainConfig, prefix: str) -> TrainConfig:
    """The same dyads as other features."""
    clips = {"train": f"{CLIPS}{prefix}train", "evaluation": f"{CLIPS}{prefix}valid"}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **clips))


head = TrainConfig(
    model=FlowHeadConfig(state=2 * paper.model.hidden),
    data=dataclasses.replace(paper.data, eval_frames=178),
    train=dataclasses.replace(paper.train, batch_size=512, steps=HEAD_STEPS, eval_every=1000),
    loss=LossConfig(),
    optimizer=OptimizerConfig(
        learning_rate=1e-3, warmup_steps=100, weight_decay=0.03, clip_norm=1.0, ema_decay=0.995
    ),
    augment=dataclasses.replace(paper.augment),
    checkpoint=dataclasses.replace(paper.checkpoint, every=500),
    start=StartConfig(listener=f"{{out}}/{PAPER}/seed{{seed}}/listener.safetensors"),
    head=HeadConfig(unseen=0.0),
)

configs = {
    PAPER: paper,
    BASELINE: without_contrastive(
        dataclasses.replace(
            with_loss(motion="vico", motion_options={}), model=ViCoConfig(coeff=70, hidden=96, layers=2)
        )
    ),
    "no_contrastive": without_contrastive(paper),
    "no_text": without_contrastive(with_model(use_text=False)),
    "high_level_only": with_model(levels=("high",)),
    "no_mfcc": with_model(use_mfcc=False),
    "causal": with_clips(with_model(bidirectional=False), "causal_"),
    "generative_head": head,
    "contrastive_word": with_loss(contrastive="word"),
    "contrastive_siglip": with_loss(contrastive="siglip"),
    "no_motion_constraint": with_loss(motion_options=paper.loss.motion_options | {"w1": 0.0, "w2": 0.0}),
    "eq6_as_printed": with_loss(motion="paper", motion_options={"w1": 1.0, "w2": 1.0}),
}
