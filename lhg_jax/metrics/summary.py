"""From clips to the numbers of a test set: pooled over all frames, read one clip at a time."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lhg_jax.metrics import cache, frechet
from lhg_jax.metrics import motion as motion_metrics
from lhg_jax.metrics.frechet import Moments
from lhg_jax.metrics.labels import Labels, add_label_metrics
from lhg_jax.metrics.listening import add_reaction_metrics, add_video_metrics
from lhg_jax.motion import LANDMARK

POOLED = ("ssim", "cpbd", "psnr", "csim", "csim_dlib")  # mean over all frames (or samples) of all clips
CLIP_MEANS = ("variance", "jitter", "rpcc")  # of each group of coefficients: mean over clips
NO_SPEAKER = "needs videos of the speakers (--speakers)"
NO_MOTION = "no clip was tracked"


@dataclasses.dataclass
class Summary:
    """The numbers of one evaluation.

    Attributes:
      values: metric name -> value; None where it could not be measured.
      reference_values: of the true listeners themselves, for metrics that need no second video.
      notes: metric name -> why it is missing, or what its number depends on.
      frames, clips: how many the image metrics pool.
      motion_clips: how many the metrics of motion pool.
    """

    values: dict[str, float | None] = dataclasses.field(default_factory=dict)
    reference_values: dict[str, float | None] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    frames: int = 0
    clips: int = 0
    motion_clips: int = 0


@dataclasses.dataclass(frozen=True)
class Arrays:
    """One array of every clip, read clip by clip as often as it is iterated over."""

    folder: Path
    names: Sequence[str]
    key: str
    columns: np.ndarray | None = None

    def of(self, names: Sequence[str]) -> "Arrays":
        """The same array of some of the clips."""
        return dataclasses.replace(self, names=names)

    def __iter__(self) -> Iterator[np.ndarray]:
        for name in self.names:
            rows = cache.load_array(self.folder, name, self.key)
            if rows is not None:
                yield rows if self.columns is None else rows[:, self.columns]


def summarise(
    folder: Path,
    records: Iterable[Mapping[str, Any]],
    fid_like_piq: bool = False,
    labels: Mapping[str, Labels] | None = None,
) -> Summary:
    """Pools the clips of `records`, whose arrays lie in `folder` (metrics/cache.py); `labels` by clip."""
    records = list(records)
    names = [record["name"] for record in records]
    moving = [record["name"] for record in records if "exp_l1" in record["metrics"]]
    summary = Summary(clips=len(names), motion_clips=len(moving))
    summary.frames = sum(len(rows) for rows in Arrays(folder, names, "ssim"))
    for metric in POOLED:
        summary.values[metric] = _frame_mean(Arrays(folder, names, metric))
    if summary.values["csim"] is None:
        summary.notes["csim"] = "left out: no ArcFace network given (--arcface); csim_dlib is another measure"
    if summary.values["csim_dlib"] is None:
        summary.notes["csim_dlib"] = NO_MOTION
    _pool_features(folder, names, summary, fid_like_piq)
    for group in motion_metrics.GROUPS:
        columns = motion_metrics.columns(LANDMARK, group)
        roles = ("prediction", "reference", "speaker")
        motions = {role: Arrays(folder, moving, f"{role}_motion", columns) for role in roles}
        _pool_distances(motions, group, summary)
        _pool_diversity(motions, group, summary)
        _average_clips(records, group, summary)
        add_video_metrics(motions, group, summary)
    whole = {
        role: Arrays(folder, moving, f"{role}_motion") for role in ("prediction", "reference", "speaker")
    }
    add_reaction_metrics(whole, summary)
    if labels is not None:
        add_label_metrics(whole, moving, labels, summary)
    _average_probes(records, summary)
    return summary


def _frame_mean(arrays: Iterable[np.ndarray]) -> float | None:
    """Mean over all values of all clips."""
    count, total = 0, 0.0
    for values in arrays:
        count, total = count + len(values), total + float(values.sum(dtype=np.float64))
    return total / count if count else None


def _frechet(
    prediction: Iterable[np.ndarray], reference: Iterable[np.ndarray], like_piq: bool = False
) -> float | None:
    """Fréchet distance of all rows; None below two rows, where there is no covariance."""
    a, b = _moments(reference), _moments(prediction)
    if a is None or b is None or min(a.count, b.count) < 2:
        return None
    return frechet.frechet_distance_newton_schulz(a, b) if like_piq else frechet.frechet_distance(a, b)


def _moments(arrays: Iterable[np.ndarray]) -> Moments | None:
    total = None
    for rows in arrays:
        part = Moments.of(rows)
        total = part if total is None else total.merge(part)
    return total


def _pool_features(folder: Path, names: list[str], summary: Summary, like_piq: bool) -> None:
    prediction, reference = (
        Arrays(folder, names, f"{role}_features") for role in ("prediction", "reference")
    )
    summary.values["fid"] = _frechet(prediction, reference)
    if like_piq:
        summary.values["fid_newton_schulz"] = _frechet(prediction, reference, like_piq=True)
    if next(iter(prediction), None) is None:
        summary.notes["fid"] = "left out: no Inception weights given (--inception)"
    elif summary.frames <= 2048:
        summary.notes["fid"] = f"covariances are singular: {summary.frames} frames, 2048 features"


def _pool_distances(motions: Mapping[str, Arrays], group: str, summary: Summary) -> None:
    prediction, reference, speaker = (motions[role] for role in ("prediction", "reference", "speaker"))
    errors = (np.abs(a.astype(np.float64) - b).ravel() for a, b in zip(prediction, reference, strict=True))
    summary.values[f"{group}_l1"] = _frame_mean(errors)
    summary.values[f"{group}_frechet"] = _frechet(prediction, reference)
    summary.notes |= {f"{group}_{key}": NO_MOTION for key in ("l1", "frechet") if not summary.motion_clips}
    name = f"{group}_paired_frechet"
    folder, clips = prediction.folder, prediction.names
    heard = [clip for clip in clips if cache.load_array(folder, clip, speaker.key) is not None]
    voices = speaker.of(heard)
    summary.values[name] = _frechet(
        _beside(prediction.of(heard), voices), _beside(reference.of(heard), voices)
    )
    if not heard:
        summary.notes[name] = NO_SPEAKER


def _beside(a: Arrays, b: Arrays) -> Iterator[np.ndarray]:
    return (np.concatenate(rows, axis=1) for rows in zip(a, b, strict=True))


def _pool_diversity(motions: Mapping[str, Arrays], group: str, summary: Summary) -> None:
    """Shannon index over clusters of the true motion, for the prediction and for the truth."""
    name, clusters = f"{group}_sid", motion_metrics.CLUSTERS[group]
    summary.values[name] = summary.reference_values[name] = None
    frames = sum(len(rows) for rows in motions["reference"])
    if not frames:
        summary.notes[name] = NO_MOTION
        return
    step = -(-frames // motion_metrics.FIT_FRAMES)
    try:
        centres = motion_metrics.cluster_centres(_every(motions["reference"], step), clusters)
    except ValueError as error:
        summary.notes[name] = str(error)
        return
    for role, values in (("prediction", summary.values), ("reference", summary.reference_values)):
        counts = [motion_metrics.cluster_counts(rows, centres) for rows in motions[role]]
        values[name] = motion_metrics.shannon_index(np.sum(counts, axis=0))


def _every(arrays: Iterable[np.ndarray], step: int) -> np.ndarray:
    """Every `step`-th row of all arrays one after the other."""
    picked, skip = [], 0
    for rows in arrays:
        picked.append(rows[skip::step])
        skip = (skip - len(rows)) % step
    return np.concatenate(picked)


def _average_clips(records: list[Mapping[str, Any]], group: str, summary: Summary) -> None:
    for key in CLIP_MEANS:
        name = f"{group}_{key}"
        summary.values[name] = _mean(record["metrics"].get(name) for record in records)
        if summary.values[name] is None:
            summary.notes[name] = NO_SPEAKER if key == "rpcc" and summary.motion_clips else NO_MOTION
        if key != "rpcc":
            summary.reference_values[name] = _mean(r["metrics"].get(f"{name}_reference") for r in records)


def _average_probes(records: list[Mapping[str, Any]], summary: Summary) -> None:
    rows = [record["probes"] for record in records if record["probes"]]
    for name in rows[0] if rows else ():
        summary.values[f"probe_{name}"] = _mean(row[name] for row in rows)


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of what there is; None if there is nothing."""
    found = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(found)) if found else None
