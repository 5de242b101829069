"""Metrics of listeners as newer papers define them: per video, or over one flattened array of all videos.

They share names with those of metrics/motion.py and are other quantities, so each has a column of its own:

    name            definition (source: the released code of Dyadic Interaction Modeling, Tran et al. 2024)
    *_fd_video      Fréchet distance between the frames of one video and of its truth, mean over videos
    *_pfd_video     the same on (listener, speaker) vectors
    *_var_flat      variance of all coefficients of all frames as one flat array: offsets between them count
    *_rpcc_pooled   |ρ(truth, speaker) − ρ(prediction, speaker)|, ρ Pearson's over flat arrays of all videos
    *_rpcc_video    the same of each video, mean over videos (as in the code of R-DGG, 2026)
    *_frdiv         mean squared difference of two samples for one speaker (facial reaction diversity, REACT)
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from lhg_jax.metrics.frechet import Moments, frechet_distance

Motions = Iterable[Float[np.ndarray, "_ size"]]  # one array a video


def fd_video(predictions: Motions, targets: Motions) -> float:
    """Mean over videos of the Fréchet distance of their frames; NaN without a video of two frames."""
    distances = [
        frechet_distance(Moments.of(target), Moments.of(prediction))
        for prediction, target in zip(predictions, targets, strict=True)
        if len(target) > 1
    ]
    return float(np.mean(distances)) if distances else float("nan")


def pfd_video(predictions: Motions, targets: Motions, speakers: Motions) -> float:
    """`fd_video` of frames in which listener and speaker stand side by side."""
    triples = list(zip(predictions, targets, speakers, strict=True))
    beside = [
        [np.concatenate([x, speaker], axis=1) for speaker in (s,) for x in (p, t)] for p, t, s in triples
    ]
    return fd_video([pair[0] for pair in beside], [pair[1] for pair in beside])


def var_flat(motions: Motions) -> float:
    """Variance of everything at once; NaN without frames."""
    flat = _flat(motions)
    return float(flat.var()) if len(flat) else float("nan")


def rpcc_pooled(predictions: Motions, targets: Motions, speakers: Motions) -> float:
    """|ρ(truth, speaker) − ρ(prediction, speaker)| over all videos as one array; in [0, 2]."""
    prediction, target, speaker = map(_flat, (predictions, targets, speakers))
    return abs(_correlation(target, speaker) - _correlation(prediction, speaker))


def rpcc_video(predictions: Motions, targets: Motions, speakers: Motions) -> float:
    """`rpcc_pooled` of each video, mean over videos."""
    each = [
        rpcc_pooled([prediction], [target], [speaker])
        for prediction, target, speaker in zip(predictions, targets, speakers, strict=True)
    ]
    return float(np.mean(each)) if each else float("nan")


def frdiv(samples: Sequence[Float[np.ndarray, "frames size"]]) -> float:
    """Σ over ordered pairs of |a − b|² / (n (n − 1) d), d values in a sample; NaN below two."""
    n = len(samples)
    if n < 2:
        return float("nan")
    stacked = np.stack(samples).astype(np.float64)
    # Over all pairs the mean squared difference is twice the variance with divisor n - 1.
    return float(2 * stacked.var(axis=0, ddof=1).mean())


def _flat(motions: Motions) -> Float[np.ndarray, "values"]:
    parts = [motion.astype(np.float64).ravel() for motion in motions]
    return np.concatenate(parts) if parts else np.zeros(0)


def _correlation(a: Float[np.ndarray, "values"], b: Float[np.ndarray, "values"]) -> float:
    """Pearson's; 0 where either is constant."""
    if not len(a):
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 1e-12 else 0.0
