"""Contrastive losses that tie the words of the transcript to the audio of their time stamp.

Each is `loss(x: ContrastiveInputs, *, temperature, chunk) -> LossSums`, with options of its own as further
keywords that have defaults. `temperature` is tau > 0, which divides cosine similarities; `chunk` the rows of
the similarity matrix in memory at a time (losses/blockwise.py). Candidates come from the whole batch, also
where it is sharded over devices, if the loss runs under `jit`.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from lhg_jax.contract import LossSums
from lhg_jax.losses.base import as_float, masked_loss
from lhg_jax.losses.blockwise import Excluded, blockwise_logsumexp, blockwise_sum_softplus, nothing
from lhg_jax.losses.bounded import bounded_logsumexp

Features = Float[Array, "batch frame size"]
Mask = Bool[Array, "batch frame"]

HA2G_PULL, HA2G_PUSH = 0.2, 0.005  # weights of HA2G's two terms
SIGLIP_BIAS = -10.0  # start value of the learned bias of Zhai et al. 2023; constant here
MIN_SQUARE = 1e-12  # floor under square roots: finite gradients for zero vectors and duplicates


@dataclasses.dataclass(frozen=True)
class ContrastiveInputs:
    """What is compared.

    Attributes:
      text_BTD: Text features f_t, any float type (the losses compute in float32; bfloat16 features are
        compared by products of bfloat16 operands).
      levels: (low, mid, high) audio features f_a, each [B, T, D].
      anchors_BT: Frames in which a word is spoken; only these are scored.
      in_clip_BT: Frames that are not padding; only these are candidates.
      words_BT: Which word is spoken (0 = none).
    """

    text_BTD: Features
    levels: tuple[Features, Features, Features]
    anchors_BT: Mask
    in_clip_BT: Mask
    words_BT: Int[Array, "batch frame"]

    @property
    def scored_BT(self) -> Mask:
        """Anchors inside their clip."""
        return self.anchors_BT & self.in_clip_BT


def _unit_rows(x_BTD: Array, mask_BT: Array) -> Array:
    """Flattened to [B T, D] and scaled to length 1; rows that are not in the mask are zeros."""
    x = jnp.where(mask_BT[..., None], as_float(x_BTD), 0)
    x *= jax.lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), MIN_SQUARE))
    return x.reshape(-1, x.shape[-1])


def _operands(x: Array) -> DTypeLike:
    """Type of the operands of similarities: that of features which are no more exact."""
    return x.dtype if x.dtype == jnp.bfloat16 else as_float(x).dtype


def _interleave(banks: tuple[Array, ...]) -> Array:
    """K banks [N, D] as columns [N K, D], a time stamp side by side, so that a sharded N stays so."""
    return jnp.stack(banks, 1).reshape(-1, banks[0].shape[-1])


def _eq2(
    x: ContrastiveInputs,
    temperature: float,
    chunk: int,
    excluded: Excluded = nothing,
    left_out_BT: Array | float = 0.0,
) -> LossSums:
    """Eq. 2, with an optional rule of pairs to leave out of the denominator: how many time stamps of each."""
    text_ND = _unit_rows(x.text_BTD, x.scored_BT) / temperature
    banks = tuple(_unit_rows(level_BTD, x.in_clip_BT) for level_BTD in x.levels)
    columns_MD, valid_M = _interleave(banks), jnp.repeat(x.in_clip_BT.ravel(), len(banks))
    operands = _operands(x.text_BTD)
    log_sum = functools.partial(
        bounded_logsumexp, chunk=chunk, bound=1 / temperature, excluded=excluded, operands=operands
    )
    spread_N = log_sum(text_ND, columns_MD, valid_M, x.scored_BT.ravel())
    align_N = -(text_ND * banks[2]).sum(-1)
    terms = {"align": align_N, "spread": spread_N}
    terms_BT = {name: term_N.reshape(x.in_clip_BT.shape) for name, term_N in terms.items()}
    candidates_BT = jnp.broadcast_to(
        len(banks) * (x.in_clip_BT.sum(dtype=spread_N.dtype) - left_out_BT), x.in_clip_BT.shape
    )
    logged = _comparable(terms_BT["spread"], candidates_BT, x.scored_BT)
    return masked_loss(terms_BT, x.scored_BT).replace(logged=logged)


def _comparable(spread_BT: Array, candidates_BT: Array, scored_BT: Mask) -> Mapping[str, LossSums]:
    """What makes runs with other batches comparable: log-sums grow with the log of their candidates.

    `spread_above_chance` is 0 where all candidates are orthogonal to the anchor.
    """
    above_BT = spread_BT - jnp.log(jnp.maximum(candidates_BT, 1))
    logged_BT = {"candidates": candidates_BT, "spread_above_chance": jax.lax.stop_gradient(above_BT)}
    return masked_loss(logged_BT, scored_BT).terms


def paper(x: ContrastiveInputs, *, temperature: float, chunk: int) -> LossSums:
    """Multi-level contrastive loss, Eq. 2 of Chang et al. (MM '23), as printed.

    -log exp(cos(f_t, f_high+)/tau) / sum_i sum_level exp(cos(f_t, f_level(i))/tau): the positive is the high
    level of the anchor's own time stamp; the sum runs over all time stamps of the batch and all three levels,
    the positive included. Terms: `align` = -cos/tau of the positives, `spread` = log of the sum.
    """
    return _eq2(x, temperature, chunk)


def temporal(x: ContrastiveInputs, *, temperature: float, chunk: int, radius: int = 15) -> LossSums:
    """As `paper`, but frames of the same clip within `radius` frames of the anchor are no negatives.

    Neighbours mostly belong to the same word, so Eq. 2 pushes a word from its own sound. The anchor's own
    time stamp stays: the positive, and its low and mid levels.
    """
    frames = x.in_clip_BT.shape[1]

    def excluded(row, column):
        stamp = column // len(x.levels)
        distance = jnp.abs(row % frames - stamp % frames)
        return (row // frames == stamp // frames) & (distance > 0) & (distance <= int(radius))

    near_BT = _neighbours(x.in_clip_BT, int(radius))
    return _eq2(x, temperature, chunk, excluded, near_BT)


def _neighbours(in_clip_BT: Mask, radius: int) -> Float[Array, "batch frame"]:
    """Number of other frames of the same clip within `radius`."""
    frames = jnp.arange(in_clip_BT.shape[1])
    distance_TT = jnp.abs(frames[:, None] - frames[None])
    near_TT = (distance_TT > 0) & (distance_TT <= radius)
    return in_clip_BT.astype(jnp.float32) @ near_TT.astype(jnp.float32)


def word(x: ContrastiveInputs, *, temperature: float, chunk: int, words: int = 0) -> LossSums:
    """Eq. 2 with one anchor and one time stamp a spoken word: features are averaged over the word's frames.

    A long word counts as much as a short one. Candidates are words; silence gives none.

    Args:
      x, temperature, chunk: as everywhere.
      words: rows for the words of a clip, which set the work: similarities are of rows, used or not. 0: as
        many as frames, always enough. Later words of a clip with more are left out, which is logged as
        `words_left_out`, a mean over clips.
    """
    run_BT, count_B = _runs(x)
    rows = int(words) or run_BT.shape[1]
    member_BKT = run_BT[:, None] == jnp.arange(1, rows + 1)[None, :, None]
    exists_BK = jnp.arange(1, rows + 1)[None] <= count_B[:, None]

    def pool(x_BTD: Array) -> Array:
        means_BKD = _pool(jnp.where(x.in_clip_BT[..., None], as_float(x_BTD), 0), member_BKT)
        return means_BKD.astype(_operands(x_BTD))

    low, mid, high = map(pool, x.levels)
    words_BK = exists_BK.astype(jnp.int32)
    pooled = ContrastiveInputs(pool(x.text_BTD), (low, mid, high), exists_BK, exists_BK, words_BK)
    loss = _eq2(pooled, temperature, chunk)
    left_out_B = jnp.maximum(count_B - rows, 0).astype(loss.sums.dtype)
    left_out = LossSums(left_out_B, x.in_clip_BT.any(1).astype(loss.sums.dtype))
    return loss.replace(logged={**loss.logged, "words_left_out": left_out})


def _runs(x: ContrastiveInputs) -> tuple[Int[Array, "batch frame"], Int[Array, "batch"]]:
    """Which word of its clip each frame belongs to, counted from 1 (0: none), and how many there are."""
    spoken_BT = x.scored_BT & (x.words_BT > 0)
    before_BT = jnp.pad(jnp.where(spoken_BT, x.words_BT, 0), ((0, 0), (1, 0)))[:, :-1]
    starts_BT = spoken_BT & (x.words_BT != before_BT)
    return jnp.where(spoken_BT, jnp.cumsum(starts_BT, 1), 0), starts_BT.sum(1)


def _pool(x_BTD: Array, member_BKT: Bool[Array, "batch word frame"]) -> Float[Array, "batch word size"]:
    """Means over the frames of each word, zeros where it has none: a product, not a scatter."""
    member_BKT = member_BKT.astype(x_BTD.dtype)
    total_BKD = jnp.matmul(member_BKT, x_BTD, precision=jax.lax.Precision.HIGHEST)
    return total_BKD / jnp.maximum(member_BKT.sum(-1, keepdims=True), 1)


def ha2g(x: ContrastiveInputs, *, temperature: float, chunk: int) -> LossSums:
    """The loss of HA2G's training code (Liu et al., CVPR 2022), which is not Eq. 2.

    Logits are inverse Euclidean distances of unit vectors, without temperature. Text is pulled to the high
    level of its frame (`pull`, 0.2 x cross-entropy) and pushed from the low level (`push`, -0.005 x
    cross-entropy), each against all frames of that level. As there, a frame without a word is an anchor too.
    """
    valid_BT = x.in_clip_BT
    text_ND = _unit_rows(x.text_BTD, valid_BT)

    def inverse_distance(cosine):
        return 1 / (jnp.sqrt(jnp.maximum(2 - 2 * cosine, MIN_SQUARE)) + 1e-8)

    def cross_entropy(level_BTD):
        level_ND = _unit_rows(level_BTD, valid_BT)
        total_N = blockwise_logsumexp(text_ND, level_ND, valid_BT.ravel(), chunk, inverse_distance)
        return (total_N - inverse_distance((text_ND * level_ND).sum(-1))).reshape(valid_BT.shape)

    terms = {"pull": HA2G_PULL * cross_entropy(x.levels[2]), "push": -HA2G_PUSH * cross_entropy(x.levels[0])}
    return masked_loss(terms, valid_BT)


def infonce(x: ContrastiveInputs, *, temperature: float, chunk: int) -> LossSums:
    """Symmetric InfoNCE between text and the high level (as CLIP), over the frames in which a word is spoken.

    Mean of two cross-entropies: text against all high-level features, and high level against all texts.
    """
    scored_BT, scored_N = x.scored_BT, x.scored_BT.ravel()
    text_ND = _unit_rows(x.text_BTD, scored_BT) / math.sqrt(temperature)
    high_ND = _unit_rows(x.levels[2], scored_BT) / math.sqrt(temperature)
    positive_N = (text_ND * high_ND).sum(-1)
    operands = _operands(x.text_BTD)
    log_sum = functools.partial(bounded_logsumexp, chunk=chunk, bound=1 / temperature, operands=operands)
    text_to_high = log_sum(text_ND, high_ND, scored_N, scored_N) - positive_N
    high_to_text = log_sum(high_ND, text_ND, scored_N, scored_N) - positive_N
    terms = {"text_to_high": 0.5 * text_to_high, "high_to_text": 0.5 * high_to_text}
    return masked_loss({name: term.reshape(scored_BT.shape) for name, term in terms.items()}, scored_BT)


def siglip(x: ContrastiveInputs, *, temperature: float, chunk: int) -> LossSums:
    """Sigmoid loss (Zhai et al., ICCV 2023) between text and the high level: each pair is a binary decision.

    -sum_j log sigmoid(+-(cos/tau + b)), + for the anchor's own time stamp, b = -10; summed over j, averaged
    over anchors as there. As softplus(-x) = softplus(x) - x, `positive` corrects the sum over all `pairs`.
    """
    shape = x.in_clip_BT.shape
    text_ND = _unit_rows(x.text_BTD, x.scored_BT) / temperature
    high_ND = _unit_rows(x.levels[2], x.in_clip_BT)
    pairs_N = blockwise_sum_softplus(text_ND, high_ND, x.in_clip_BT.ravel(), chunk, SIGLIP_BIAS)
    positive_N = (text_ND * high_ND).sum(-1) + SIGLIP_BIAS
    return masked_loss({"pairs": pairs_N.reshape(shape), "positive": -positive_N.reshape(shape)}, x.scored_BT)


def none(x: ContrastiveInputs, *, temperature: float, chunk: int) -> LossSums:
    """No contrastive loss: zero, with nothing counted."""
    zeros = jnp.zeros(len(x.in_clip_BT), jnp.float32)
    return LossSums(zeros, zeros)
