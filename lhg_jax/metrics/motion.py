"""Metrics of motion: coefficients of a predicted listener against those of the true one.

Every metric exists for expression (`exp`) and for pose (angle and trans as one vector of 6; no crop), in raw
coefficient units: numbers of different trackers cannot be compared. Frames of all clips count alike (ViCo),
except where a docstring says that it is a mean over clips.

    name            defined by
    *_l1            the ViCo organiser (baseline repository, issue 1); in 2022 called ExpFD, AngleFD, TransFD
    *_frechet       ViCo 2023 names ExpFD, PoseFD without code: Fréchet distance of per-frame vectors, ours
    *_paired_frechet  the same on (listener, speaker) vectors, as P-FD since Ng et al. 2022
    *_sid           Shannon index of k-means clusters, Ng et al. 2022 (details ours, see `shannon_index`)
    *_variance      variance along time, Ng et al. 2022
    *_rpcc          residual of the correlation with the speaker (see `residual_correlation`)
    *_jitter        mean absolute third derivative (jerk), as in pose estimation
"""

import warnings

import numpy as np
from jaxtyping import Float, Int

from lhg_jax.motion import CoefficientSpace

GROUPS = ("exp", "pose")
CLUSTERS = {"exp": 40, "pose": 20}  # as usual in papers on listeners; more than these say little of few clips
FIT_FRAMES = 20_000  # enough to fit the clusters to, evenly spread over the set


def columns(space: CoefficientSpace, group: str) -> Int[np.ndarray, "columns"]:
    """Indices of a group's coefficients: `exp`, or `pose` = angle and trans."""
    names = {"exp": ("exp",), "pose": ("angle", "trans")}[group]
    indices = np.arange(space.size)
    return np.concatenate([indices[space.slice(name)] for name in names])


def l1(prediction: Float[np.ndarray, "frames size"], target: Float[np.ndarray, "frames size"]) -> float:
    """Mean absolute difference over frames and coefficients."""
    return float(np.abs(prediction.astype(np.float64) - target).mean())


def variance(motion: Float[np.ndarray, "frames size"]) -> float:
    """Variance of each coefficient along one clip, mean over coefficients; the report averages over clips."""
    return float(motion.astype(np.float64).var(axis=0).mean())


def jitter(motion: Float[np.ndarray, "frames size"], fps: float) -> float:
    """Mean absolute third difference over frames and coefficients, units/s³; NaN below four frames."""
    if len(motion) < 4:
        return float("nan")
    return float(np.abs(np.diff(motion.astype(np.float64), n=3, axis=0)).mean() * fps**3)


def residual_correlation(
    prediction: Float[np.ndarray, "frames size"],
    target: Float[np.ndarray, "frames size"],
    speaker: Float[np.ndarray, "frames size"],
) -> float:
    """|ρ(prediction, speaker) − ρ(target, speaker)| of each coefficient over one clip, mean over them.

    ρ is Pearson's correlation along time without lag, 0 for a constant curve. In [0, 2]; 0 is as much in
    step with the speaker as the true listener.
    """
    return float(np.abs(_correlations(prediction, speaker) - _correlations(target, speaker)).mean())


def _correlations(
    a: Float[np.ndarray, "frames size"], b: Float[np.ndarray, "frames size"]
) -> Float[np.ndarray, "size"]:
    a, b = (x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in (a, b))
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return (a * b).sum(axis=0) / np.where(norm > 1e-12, norm, np.inf)


def cluster_centres(
    targets: Float[np.ndarray, "frames size"], clusters: int, seed: int = 0
) -> Float[np.ndarray, "clusters size"]:
    """k-means centres of true motion (k-means++, 30 rounds).

    Raises ValueError for fewer different frames than clusters.
    """
    from scipy.cluster.vq import kmeans2

    different = len(np.unique(targets, axis=0))
    if different < clusters:
        raise ValueError(f"{clusters} clusters need as many different frames, not {different}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that lost its frames keeps its centre
        return kmeans2(targets.astype(np.float64), clusters, iter=30, minit="++", rng=seed)[0]


def cluster_counts(
    motion: Float[np.ndarray, "frames size"], centres: Float[np.ndarray, "clusters size"]
) -> Int[np.ndarray, "clusters"]:
    """How many frames are nearest to each centre; counts of clips add up."""
    from scipy.cluster.vq import vq

    return np.bincount(vq(motion.astype(np.float64), centres)[0], minlength=len(centres))


def shannon_index(counts: Int[np.ndarray, "clusters"]) -> float:
    """Entropy in bits of frames over clusters of the true motion: 0 for a still face, at most log2(clusters).

    Papers say neither how to pool nor which logarithm; here all frames of the set together, and bits.
    """
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0
