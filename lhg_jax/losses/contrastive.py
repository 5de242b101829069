"""Contrastive losses that tie the words of the transcript to the audio of their time stamp.

All have one signature:

    loss(text_BTD, levels, anchors_BT, valid_BT, word_of_frame_BT, *, temperature, chunk) -> LossValue

  text_BTD: Text features f_t, any float type (the losses compute in float32).
  levels: (low, mid, high) audio features f_a, each [B, T, D].
  anchors_BT: Frames in which a word is spoken; only these are scored.
  valid_BT: Frames that are not padding; only these are candidates.
  word_of_frame_BT: Which word is spoken (0 = none).
  temperature: tau > 0, dividing cosine similarities.
  chunk: Rows of the similarity matrix in memory at a time (losses/blockwise.py).

Candidates come from the whole batch, also where it is sharded over devices, if the loss runs under `jit`.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lhg_jax.losses import blockwise
from lhg_jax.losses.base import LossValue, as_float, masked_loss

Features = Float[Array, "batch frame size"]
Levels = tuple[Features, Features, Features]
Mask = Bool[Array, "batch frame"]
Words = Int[Array, "batch frame"]

HA2G_PULL, HA2G_PUSH = 0.2, 0.005  # weights of HA2G's two terms
SIGLIP_BIAS = -10.0  # start value of the learned bias of Zhai et al. 2023; constant here
MIN_SQUARE = 1e-12  # floor under square roots: finite gradients for zero vectors and duplicates


def _unit_rows(x_BTD: Array, mask_BT: Array) -> Array:
    """Flattened to [B T, D] and scaled to length 1; rows that are not in the mask are zeros."""
    x = jnp.where(mask_BT[..., None], as_float(x_BTD), 0)
    x *= jax.lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), MIN_SQUARE))
    return x.reshape(-1, x.shape[-1])


def _interleave(banks: tuple[Array, ...]) -> Array:
    """K banks [N, D] as columns [N K, D], a time stamp side by side, so that a sharded N stays so."""
    return jnp.stack(banks, 1).reshape(-1, banks[0].shape[-1])


def _identity(x: Array) -> Array:
    return x


def _eq2(text_BTD, levels, anchors_BT, valid_BT, temperature, chunk, excluded=None) -> LossValue:
    """Eq. 2, with an optional rule of pairs to leave out of the denominator."""
    text_ND = _unit_rows(text_BTD, anchors_BT & valid_BT) / temperature
    banks = tuple(_unit_rows(level_BTD, valid_BT) for level_BTD in levels)
    rule = blockwise.Rule(blockwise.LOG_SUM_EXP, _identity, excluded, chunk)
    columns = len(banks)
    spread_N = blockwise.reduce_rows(rule, text_ND, _interleave(banks), jnp.repeat(valid_BT.ravel(), columns))
    align_N = -(text_ND * banks[2]).sum(-1)
    terms = {"align": align_N.reshape(valid_BT.shape), "spread": spread_N.reshape(valid_BT.shape)}
    return masked_loss(terms, anchors_BT & valid_BT)


def paper(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
) -> LossValue:
    """Multi-level contrastive loss, Eq. 2 of Chang et al. (MM '23), as printed.

    -log exp(cos(f_t, f_high+)/tau) / sum_i sum_level exp(cos(f_t, f_level(i))/tau): the positive is the high
    level of the anchor's own time stamp; the sum runs over all time stamps of the batch and all three levels,
    the positive included. Terms: `align` = -cos/tau of the positives, `spread` = log of the sum.
    """
    return _eq2(text_BTD, levels, anchors_BT, valid_BT, temperature, chunk)


def temporal(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
    radius: int = 15,
) -> LossValue:
    """As `paper`, but frames of the same clip within `radius` frames of the anchor are no negatives.

    Neighbours mostly belong to the same word, so Eq. 2 pushes a word from its own sound. The anchor's own
    time stamp stays: the positive, and its low and mid levels.
    """
    frames = valid_BT.shape[1]

    def excluded(row, column):
        stamp = column // len(levels)
        distance = jnp.abs(row % frames - stamp % frames)
        return (row // frames == stamp // frames) & (distance > 0) & (distance <= radius)

    return _eq2(text_BTD, levels, anchors_BT, valid_BT, temperature, chunk, excluded)


def _pool(x_BTD: Array, run_BT: Array) -> Array:
    """Means over the frames of each run: [B, T, D], row k of a clip for run k, zeros where there is none."""

    def one_clip(x_TD, run_T):
        frames = len(run_T)
        total = jax.ops.segment_sum(x_TD, run_T, frames + 1)[1:]
        count = jax.ops.segment_sum(jnp.ones(frames, x_TD.dtype), run_T, frames + 1)[1:]
        return total / jnp.maximum(count, 1)[:, None]

    return jax.vmap(one_clip)(x_BTD, run_BT)


def word(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
) -> LossValue:
    """Eq. 2 with one anchor and one time stamp a spoken word: features are averaged over the word's frames.

    A long word counts as much as a short one. Candidates are words; silence gives none.
    """
    spoken_BT = anchors_BT & valid_BT & (word_of_frame_BT > 0)
    before_BT = jnp.pad(jnp.where(spoken_BT, word_of_frame_BT, 0), ((0, 0), (1, 0)))[:, :-1]
    starts_BT = spoken_BT & (word_of_frame_BT != before_BT)
    # Runs are counted from 1, so there are at most T of them; 0 collects the frames without a word.
    run_BT = jnp.where(spoken_BT, jnp.cumsum(starts_BT, 1), 0)
    exists_BT = jnp.arange(1, run_BT.shape[1] + 1)[None] <= starts_BT.sum(1, keepdims=True)
    features = [_pool(jnp.where(valid_BT[..., None], as_float(x), 0), run_BT) for x in (text_BTD, *levels)]
    return _eq2(features[0], tuple(features[1:]), exists_BT, exists_BT, temperature, chunk)


def ha2g(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
) -> LossValue:
    """The loss of HA2G's training code (Liu et al., CVPR 2022), which is not Eq. 2.

    Logits are inverse Euclidean distances of unit vectors, without temperature. Text is pulled to the high
    level of its frame (`pull`, 0.2 x cross-entropy) and pushed from the low level (`push`, -0.005 x
    cross-entropy), each against all frames of that level. As there, a frame without a word is an anchor too.
    """

    def inverse_distance(cosine):
        return 1 / (jnp.sqrt(jnp.maximum(2 - 2 * cosine, MIN_SQUARE)) + 1e-8)

    rule = blockwise.Rule(blockwise.LOG_SUM_EXP, inverse_distance, None, chunk)
    text_ND = _unit_rows(text_BTD, valid_BT)

    def cross_entropy(level_BTD):
        level_ND = _unit_rows(level_BTD, valid_BT)
        total_N = blockwise.reduce_rows(rule, text_ND, level_ND, valid_BT.ravel())
        return (total_N - inverse_distance((text_ND * level_ND).sum(-1))).reshape(valid_BT.shape)

    terms = {"pull": HA2G_PULL * cross_entropy(levels[2]), "push": -HA2G_PUSH * cross_entropy(levels[0])}
    return masked_loss(terms, valid_BT)


def infonce(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
) -> LossValue:
    """Symmetric InfoNCE between text and the high level (as CLIP), over the frames in which a word is spoken.

    Mean of two cross-entropies: text against all high-level features, and high level against all texts.
    """
    mask_BT = anchors_BT & valid_BT
    rule = blockwise.Rule(blockwise.LOG_SUM_EXP, _identity, None, chunk)
    text_ND = _unit_rows(text_BTD, mask_BT) / math.sqrt(temperature)
    high_ND = _unit_rows(levels[2], mask_BT) / math.sqrt(temperature)
    positive_N = (text_ND * high_ND).sum(-1)
    text_to_high = blockwise.reduce_rows(rule, text_ND, high_ND, mask_BT.ravel()) - positive_N
    high_to_text = blockwise.reduce_rows(rule, high_ND, text_ND, mask_BT.ravel()) - positive_N
    terms = {"text_to_high": 0.5 * text_to_high, "high_to_text": 0.5 * high_to_text}
    return masked_loss({name: term.reshape(mask_BT.shape) for name, term in terms.items()}, mask_BT)


def siglip(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
) -> LossValue:
    """Sigmoid loss (Zhai et al., ICCV 2023) between text and the high level: each pair is a binary decision.

    -sum_j log sigmoid(+-(cos/tau + b)), + for the anchor's own time stamp, b = -10; summed over j, averaged
    over anchors as there. As softplus(-x) = softplus(x) - x, `positive` corrects the sum over all `pairs`.
    """
    mask_BT = anchors_BT & valid_BT
    text_ND = _unit_rows(text_BTD, mask_BT) / temperature
    high_ND = _unit_rows(levels[2], valid_BT)
    rule = blockwise.Rule(blockwise.SUM_SOFTPLUS, lambda cosine: cosine + SIGLIP_BIAS, None, chunk)
    pairs_N = blockwise.reduce_rows(rule, text_ND, high_ND, valid_BT.ravel())
    positive_N = (text_ND * high_ND).sum(-1) + SIGLIP_BIAS
    terms = {"pairs": pairs_N.reshape(mask_BT.shape), "positive": -positive_N.reshape(mask_BT.shape)}
    return masked_loss(terms, mask_BT)


def none(
    text_BTD: Features,
    levels: Levels,
    anchors_BT: Mask,
    valid_BT: Mask,
    word_of_frame_BT: Words,
    *,
    temperature: float,
    chunk: int,
) -> LossValue:
    """No contrastive loss: zero, with nothing counted."""
    zeros = jnp.zeros(len(valid_BT), jnp.float32)
    return LossValue(zeros, zeros)
