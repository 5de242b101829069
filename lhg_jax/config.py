"""Settings of a training run: frozen dataclasses, a file in configs/ that builds one, dotted overrides.

Nothing is filled in later. A dotted override looks like `--config.train.batch_size=64`.
"""

import dataclasses
import json
import os
import runpy
from typing import Any, Literal

from lhg_jax.config_files import find_config
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.models.listener import ListenerConfig
from lhg_jax.models.vico_lstm import ViCoConfig
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where clips come from and how long the pieces are that the model sees."""

    train: str
    """Folder written by `python -m lhg_jax.prepare`; several: with commas between them."""
    evaluation: str
    """Folder of held-out clips; empty: no evaluation."""
    crop_frames: int = 90
    """Length of a training crop, in frames at 30 frames/s; T mod 4 = 2 wastes no mel steps."""
    eval_frames: int = 450
    """Evaluation clips are padded to this many frames, or cut to as many from their middle."""
    eval_batch_size: int = 16
    """Clips in one evaluation step, over all processes."""
    probe_clips: int = 0
    """Held-out synthetic dyads on which the rule probes are taken in an evaluation; 0: none."""
    threads: int = 2
    """Threads that read and cut clips in each process (or worker), >= 1."""
    workers: int = 0
    """Worker processes in front of the threads; 0: none. Batches do not depend on it."""
    prefetch: int = 4
    """Finished batches held ready, >= 1."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Random changes of a training crop. Probabilities lie in [0, 1]; 0 turns the change off.

    The paper says nothing of augmentation. Masks of time and bands are SpecAugment's (Park et al. 2019), but
    narrower: an eighth of the bands, not a third. All defaults were chosen without a comparison.
    """

    mirror: float = 0.5
    """Probability of swapping left and right of speaker and listener together (`landmark` space only)."""
    gain_db: float = 6.0
    """Loudness changes by uniform [-gain_db, gain_db] dB."""
    noise_db: float = 1.0
    """Standard deviation (dB) of Gaussian noise on the log-mel: uniform [0, noise_db] for each crop."""
    time_masks: int = 1
    """SpecAugment: number of spans of mel steps set to silence, >= 0."""
    time_mask_steps: int = 12
    """SpecAugment: longest span, in mel steps (60 a second)."""
    band_masks: int = 1
    """SpecAugment: number of spans of mel bands set to silence, >= 0."""
    band_mask_bands: int = 16
    """SpecAugment: widest span, in mel bands (of 128)."""
    drop_motion: float = 0.15
    """Probability that the speaker is not seen, so that the model copes with sound alone."""
    drop_words: float = 0.1
    """Probability that no word was recognised, so that the model copes without a transcript."""
    tracking_exp: float = 0.0
    """Most noise on the speaker's expression, interocular distances (`landmark` space only)."""
    tracking_deg: float = 0.0
    """Most noise on the speaker's angles, degrees (`landmark` space only)."""
    tracking_trans: float = 0.0
    """Most noise on the speaker's translation, interocular distances (`landmark` space only)."""
    offset_frames: int = 0
    """Sound and words are up to so many frames early or late against both motions, as in loose recordings."""
    coefficient_noise: float = 0.0
    """Gaussian noise on the speaker's motion and the listener's first frame, >= 0 deviations (any space)."""
    label_noise: float = 0.0
    """Gaussian noise on the listener's other frames, which the loss compares with, >= 0 deviations."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """L = L_dec + contrastive_weight * L_const; both parts are found by name in `lhg_jax.losses`."""

    motion: str = "paper"
    """Name in `losses.MOTION`, or MODULE:FUNCTION; `paper` is Eq. 6."""
    contrastive: str = "paper"
    """Name in `losses.CONTRASTIVE`, or MODULE:FUNCTION; `paper` is Eq. 2."""
    motion_options: dict[str, float] = dataclasses.field(default_factory=dict)
    """Options of the motion loss, e.g. w1 and w2 of Eq. 6 (the paper gives no values)."""
    contrastive_options: dict[str, float] = dataclasses.field(default_factory=dict)
    """Options of the contrastive loss."""
    contrastive_weight: float = 0.1
    """Lambda, >= 0. The paper gives no value."""
    temperature: float = 0.1
    """Tau of Eq. 2, > 0. The paper gives no value."""
    chunk: int = 1024
    """Time stamps compared at once by the contrastive loss: memory grows with it, the value stays."""
    negatives: Literal["global", "group"] = "global"
    """Whose time stamps an anchor is compared with in training: the whole batch's, or its group's."""
    group_clips: int = 256
    """Clips of a group, with `negatives=group`; divides the batch (a micro-batch, where there are some)."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The rule that updates parameters, and its step size: linear warm-up, then a schedule."""

    name: str = "adamw"
    """Name in `training.optimizer.OPTIMIZERS`: adamw, lamb, lion, sgd (Nesterov momentum `beta1`)."""
    schedule: str = "cosine"
    """After the warm-up: cosine or linear (to zero at the last step), constant, rsqrt."""
    learning_rate: float = 1e-3
    """Peak step size, > 0."""
    warmup_steps: int = 500
    """Steps from 0 to the peak, in [0, steps)."""
    weight_decay: float = 0.01
    """Decoupled, on matrices and kernels only (not on biases and norm scales), >= 0."""
    no_decay: tuple[str, ...] = ()
    """Words in the paths of further parameters that do not decay, e.g. `gru`."""
    beta1: float = 0.9
    """Decay of the gradient's mean, in [0, 1)."""
    beta2: float = 0.999
    """Decay of the gradient's square, in [0, 1)."""
    clip_norm: float = 1.0
    """Global norm above which gradients are scaled down, > 0."""
    ema_decay: float = 0.999
    """Decay per step of the averaged parameters that are evaluated and exported, in [0, 1)."""


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Length of the run and what happens how often."""

    batch_size: int
    """Crops in one step, over all processes and devices."""
    steps: int
    """Optimiser steps of the run."""
    micro_batches: int = 1
    """Parts of a batch whose gradients are added up one after the other; less memory (docs/training.md)."""
    remat: bool = False
    """Keep only results of convolutions and matrix products for the backward pass; compute the rest again."""
    steps_per_call: int = 1
    """Steps in one program; divides `steps` and everything that is done every so many steps."""
    seed: int = 0
    """Every random number of the run follows from it."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    eval_every: int = 1000
    """Steps between evaluations; there is one more after the last step."""
    max_skipped: int = 10
    """Updates in a row that may be skipped for non-finite gradients before the run stops."""
    fsdp: int = 1
    """Devices that share one copy of the parameters; divides the number of devices."""
    sample_every: int = 0
    """Steps between pictures of what the listener does on a held-out clip, and after the last; 0: none."""


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Saves of the whole training state with the place in the data."""

    every: int = 1000
    """Steps between saves; there is one more after the last step."""
    keep: int = 3
    """Newest saves that are kept, >= 1."""
    best: str = ""
    """Metric of the evaluation whose best save is kept, and is listener.safetensors; empty: the newest."""
    best_is: Literal["lowest", "highest"] = "lowest"
    """Which value of that metric is best."""


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """Weights that a fresh run starts from; without any it starts at random. A continued run ignores them."""

    listener: str = ""
    """Another run's listener.safetensors: of the same model, coefficients and word vectors."""
    audio_encoder: str = ""
    """HA2G's, by `python -m lhg_exporters.convert_weights`. Replaces the audio encoder of `listener`."""


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """How a flow head is trained (`model` is a FlowHeadConfig): what is hidden from it, and its loss."""

    drop_history: float = 0.05
    """Probability that a chunk has no past, in [0, 1]."""
    unseen: float = 0.25
    """Share of the clips whose speaker is only heard, in [0, 1]: sound alone is what many users have."""
    drop_speaker: float = 0.15
    """Probability that the speaker is unknown, in [0, 1]; guidance needs some."""
    drop_style: float = 0.1
    """Probability that a trait of the style is unknown, and again that all are, in [0, 1]."""
    likelihood_weight: float = 0.5
    """Of the negative log likelihood of the variances that the head predicts, >= 0."""
    pose_weight: float = 6.0
    """Of the head's angles in the loss, beside that of expressions, > 0."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One run."""

    model: ListenerConfig | ViCoConfig | FlowHeadConfig
    data: DataConfig
    train: LoopConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    augment: AugmentConfig
    checkpoint: CheckpointConfig
    start: StartConfig = dataclasses.field(default_factory=StartConfig)
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)


@dataclasses.dataclass(frozen=True)
class Processes:
    """How the processes of one run find each other (docs/training.md has recipes)."""

    coordinator: str = ""
    """HOST:PORT of process 0; with it --num-processes and --process-id are needed."""
    num_processes: int | None = None
    """Number of processes."""
    process_id: int | None = None
    """Of this process, from 0."""
    detect: Literal["auto", "on", "off"] = "auto"
    """Ask the cluster instead: where SLURM, Open MPI or GKE TPUs show, always, or never."""
    timeout_s: int = 300
    """Longest wait for the others, s."""


def load_config(name: str | os.PathLike) -> TrainConfig:
    """The `config` of a file, found as `find_config` does. Raises `UserError` if it does not define one."""
    config = run_config(name).get("config")
    if not isinstance(config, TrainConfig):
        raise UserError(f"{name}: does not define `config = TrainConfig(...)`")
    return config


def run_config(name: str | os.PathLike) -> dict[str, Any]:
    """What a config file defines. Raises `UserError` where it is missing or cannot be run."""
    path = find_config(name)
    try:
        return runpy.run_path(str(path))
    except UserError:
        raise
    except Exception as error:  # of whatever kind: it is the user's program
        reason = " ".join(f"{error}".split()) or "no reason given"
        kind = "" if isinstance(error, SyntaxError | NameError | TypeError) else f"{type(error).__name__}: "
        raise UserError(f"{path}: {kind}{reason}") from error


def to_json(config: TrainConfig) -> str:
    """All values of a run as JSON, for the working folder and exported weights."""
    return json.dumps(dataclasses.asdict(config), indent=2)
