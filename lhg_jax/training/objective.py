"""L = L_dec + lambda L_const from the registry of losses, and the metrics of an evaluation."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lhg_jax.config import LossConfig, TrainConfig
from lhg_jax.contract import Batch, ListenerOutput, LossSums
from lhg_jax.losses import ContrastiveInputs, MotionInputs, check_options, find_loss
from lhg_jax.motion import CoefficientSpace
from lhg_jax.training.step import Objective
from lhg_jax.util.errors import UserError

Wrap = Callable[[Callable[..., LossSums]], Callable[..., LossSums]]


def losses(
    output: ListenerOutput,
    batch: Batch,
    config: LossConfig,
    space: CoefficientSpace,
    wrap: Wrap = lambda loss: loss,
) -> tuple[LossSums, LossSums]:
    """(L_dec, L_const) per example of a batch; `wrap` changes whose time stamps are compared."""
    motion = find_loss("motion", config.motion)(
        MotionInputs(output.motion, batch.listener_motion, batch.listener_seen, space),
        **config.motion_options,
    )
    in_clip_BT, words_BT = batch.features.in_clip, batch.features.word_index
    contrastive = wrap(find_loss("contrastive", config.contrastive))(
        ContrastiveInputs(output.text, output.levels, output.anchors, in_clip_BT, words_BT),
        temperature=config.temperature,
        chunk=config.chunk,
        **config.contrastive_options,
    )
    return motion, contrastive


def count_groups(config: TrainConfig) -> int:
    """Groups of a (micro-)batch whose clips are compared. Raises `UserError` where they are not equal."""
    loss, loop = config.loss, config.train
    if loss.negatives == "global":
        return 1
    clips = loop.batch_size // loop.micro_batches
    if loss.group_clips < 1 or clips % loss.group_clips:
        raise UserError(f"loss.group_clips={loss.group_clips} does not divide the {clips} clips of a batch")
    return clips // loss.group_clips


def make_objective(config: LossConfig, space: CoefficientSpace, wrap: Wrap = lambda loss: loss) -> Objective:
    """The parts of the loss that training minimises, L_dec and lambda L_const, with terms for the log.

    `wrap` changes the contrastive loss (`losses.groups.in_groups`).
    Raises `UserError` for a loss or an option that does not exist.
    """
    check_options("motion", config.motion, config.motion_options)
    check_options("contrastive", config.contrastive, config.contrastive_options)
    weight = config.contrastive_weight

    def objective(output: ListenerOutput, batch: Batch) -> tuple[LossSums, ...]:
        motion, contrastive = losses(output, batch, config, space, wrap)
        terms = {"L_dec": LossSums(motion.sums, motion.counts), **motion.terms}
        decoded = LossSums(motion.sums, motion.counts, terms)
        if weight <= 0:
            return (decoded,)
        unweighted = LossSums(contrastive.sums, contrastive.counts)
        terms = {"L_const": unweighted, **contrastive.logged}
        return decoded, LossSums(weight * contrastive.sums, contrastive.counts, terms)

    return objective


def measure(
    output: ListenerOutput, batch: Batch, *, config: LossConfig, space: CoefficientSpace
) -> dict[str, tuple[Float[Array, "batch"], Float[Array, "batch"]]]:
    """Sums and counts per clip of all that an evaluation reports; a clip without valid frames counts nothing.

    L_dec and L_const as in training; `exp_l1` and `pose_l1`, mean absolute error per coefficient in its own
    unit; `exp_motion` and `pose_motion`, predicted mean absolute change between frames, whose ratio to
    `exp_motion_target` and `pose_motion_target` says how lively the listener is (1: as the real one).
    """
    motion, contrastive = losses(output, batch, config, space)
    sums = {"L_dec": (motion.sums, motion.counts)}
    if config.contrastive_weight > 0:
        sums["L_const"] = (contrastive.sums, contrastive.counts)
    scored_BT = batch.listener_seen.at[:, 0].set(False)  # frame 0 is given
    for name, columns in coefficient_groups(space).items():
        predicted_BTC, target_BTC = output.motion[..., columns], batch.listener_motion[..., columns]
        error_BT = jnp.abs(predicted_BTC - target_BTC).mean(-1)
        sums[f"{name}_l1"] = _masked(error_BT, scored_BT)
        sums[f"{name}_motion"] = _masked(_change(predicted_BTC), scored_BT)
        sums[f"{name}_motion_target"] = _masked(_change(target_BTC), scored_BT)
    return sums


def coefficient_groups(space: CoefficientSpace) -> dict[str, np.ndarray]:
    """Indices of the expression and of all else (pose)."""
    return {"exp": np.r_[space.slice("exp")], "pose": space.pose_indices()}


class EvalSums:
    """Adds up what `measure` returns over batches; every clip and frame counts once."""

    def __init__(self):
        self._sums: dict[str, np.ndarray] = {}

    def add(self, sums: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Takes the sums of one batch."""
        for name, (values, counts) in sums.items():
            pair = np.array([np.sum(values, dtype=np.float64), np.sum(counts, dtype=np.float64)])
            self._sums[name] = self._sums.get(name, np.zeros(2)) + pair

    def means(self) -> dict[str, float]:
        """Mean of each metric; 0 where nothing was counted."""
        return {name: float(total / max(count, 1)) for name, (total, count) in self._sums.items()}


def _masked(x_BT: Float[Array, "batch frame"], valid_BT: Array) -> tuple[Array, Array]:
    return jnp.sum(x_BT * valid_BT.astype(x_BT.dtype), 1), jnp.sum(valid_BT, 1).astype(x_BT.dtype)


def _change(x_BTC: Float[Array, "batch frame coeff"]) -> Float[Array, "batch frame"]:
    """Mean absolute change from the frame before; 0 in frame 0."""
    return jnp.pad(jnp.abs(jnp.diff(x_BTC, axis=1)).mean(-1), ((0, 0), (1, 0)))
