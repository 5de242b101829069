"""Everything that is measured on one clip: arrays of per-frame values, and what went wrong."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lhg_jax.media import read_frames
from lhg_jax.metrics import cpbd, csim, image, inception
from lhg_jax.metrics import motion as motion_metrics
from lhg_jax.metrics.pairs import Pair, batches, paired_frames
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.util.errors import MissingExtraError, UserError

BATCH = 16  # frames at once


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure besides PSNR, SSIM and CPBD.

    Attributes:
      inception: weights for FID; None leaves it out.
      arcface: exported network for CSIM; None leaves it out.
      track: re-extract motion from the videos, for every metric of motion and `csim_dlib`.
    """

    inception: Path | None = None
    arcface: Path | None = None
    track: bool = True


@dataclasses.dataclass(frozen=True)
class Measured:
    """Raw measurements of one clip.

    Attributes:
      arrays: psnr, ssim, cpbd [frames]; where measured, csim [frames], prediction_features and
        reference_features [frames, 2048], prediction_motion, reference_motion, speaker_motion [motion frames,
        70] (equally long), csim_dlib [samples].
      probes: of `data.probes`, for clips of the simulator.
      warnings: what the reader should know.
      problems: what could not be measured.
    """

    arrays: dict[str, np.ndarray]
    probes: dict[str, float]
    warnings: list[str]
    problems: list[str]


def measure(pair: Pair, settings: Settings) -> Measured:
    """Measures one clip. Raises `UserError` where the pair cannot be compared at all."""
    if pair.reference is None:
        raise UserError("no reference video")
    if pair.prediction is None:
        raise UserError(f"no prediction ({pair.name}.listener.mp4 or {pair.name}.mp4 is looked for)")
    found = Measured({}, {}, [], [])
    found.arrays.update(_compare_images(pair.prediction, pair.reference, settings, found.warnings.append))
    if settings.track:
        try:
            _compare_motion(pair, found)
        except UserError as error:
            found.problems.append(f"{error}; metrics of motion and csim_dlib are left out")
    return found


def _compare_images(
    prediction: Path, reference: Path, settings: Settings, warn: Callable[[str], None]
) -> dict[str, np.ndarray]:
    rows: dict[str, list[np.ndarray]] = {}
    for a, b, count in batches(paired_frames(prediction, reference, warn), BATCH):
        if min(b.shape[1:3]) < image.WINDOW:
            raise UserError(f"{reference}: SSIM needs frames of {image.WINDOW} x {image.WINDOW} or more")
        values = {
            "psnr": image.psnr(a, b),
            "ssim": image.ssim(a, b),
            "cpbd": np.array([cpbd.cpbd(grey) for grey in cpbd.grey_levels(a[:count])]),
        }
        if settings.inception:
            params = _inception(settings.inception)
            values["prediction_features"] = inception.features(params, a)
            values["reference_features"] = inception.features(params, b)
        if settings.arcface:
            network = csim.arcface(settings.arcface)
            values["csim"] = csim.cosine(*(csim.arcface_embeddings(network, images) for images in (a, b)))
        for name, value in values.items():
            rows.setdefault(name, []).append(np.asarray(value)[:count])
    return {name: np.concatenate(values) for name, values in rows.items()}


@functools.cache
def _inception(path: Path) -> dict:
    """The network's parameters, read once a process."""
    return inception.load(path)


def _compare_motion(pair: Pair, found: Measured) -> None:
    """Tracks every video of the pair and adds motions, csim_dlib and probes to `found`."""
    motions, embeddings = {}, {}
    for role in ("prediction", "reference", "speaker"):
        path = getattr(pair, role)
        if path is None:
            continue
        motions[role], anchor = _track(path, role, found.warnings)
        if role != "speaker":
            embeddings[role] = csim.embeddings(read_frames(path), motions[role], anchor)
    length = min(len(motion) for motion in motions.values())
    found.arrays.update({f"{role}_motion": motion.values[:length] for role, motion in motions.items()})
    samples = min(len(rows) for rows in embeddings.values())
    found.arrays["csim_dlib"] = csim.cosine(*(rows[:samples] for rows in embeddings.values()))
    found.probes.update(_probe(pair.name, motions["prediction"], found.warnings))


def _track(path: Path, role: str, warnings: list[str]) -> tuple[Motion, csim.FaceAnchor]:
    from lhg_jax.faces.landmark import LandmarkTracker

    try:
        fit = LandmarkTracker().track_video(read_frames(path))
    except UserError as error:
        raise UserError(f"{role}: {error}") from None
    warnings += [f"{role}: {warning}" for warning in fit.warnings]
    return fit.motion, fit.anchor


def _probe(name: str, motion: Motion, warnings: list[str]) -> dict[str, float]:
    """Scores against the simulator's rules, if the clip is one of its dyads."""
    try:
        from lhg_jax.simulator.dyads import synthesise_again
        from lhg_jax.simulator.rule_scores import probe

        dyad = synthesise_again(name)
    except (MissingExtraError, ImportError) as error:
        warnings.append(f"rule probes are left out: {error}")
        return {}
    if dyad is None:
        return {}
    centres_s = (np.arange(len(dyad.listener)) + 0.5) / dyad.listener.fps
    return probe(Motion(motion.space, motion.at_times(centres_s)), dyad)


def clip_metrics(measured: Measured, fps: float) -> dict[str, float]:
    """One number a metric for this clip alone, for plots and for finding good and bad clips.

    Means over the clip's frames; Fréchet distances and Shannon indices need the whole set and are not here.
    """
    arrays = measured.arrays
    names = ("psnr", "ssim", "cpbd", "csim", "csim_dlib")
    values = {name: float(arrays[name].mean()) for name in names if name in arrays}
    if "prediction_motion" not in arrays:
        return values
    for group in motion_metrics.GROUPS:
        columns = motion_metrics.columns(LANDMARK, group)
        prediction, reference = (arrays[f"{role}_motion"][:, columns] for role in ("prediction", "reference"))
        values[f"{group}_l1"] = motion_metrics.l1(prediction, reference)
        for suffix, motion in {"": prediction, "_reference": reference}.items():
            values[f"{group}_variance{suffix}"] = motion_metrics.variance(motion)
            values[f"{group}_jitter{suffix}"] = motion_metrics.jitter(motion, fps)
        if "speaker_motion" in arrays:
            speaker = arrays["speaker_motion"][:, columns]
            values[f"{group}_rpcc"] = motion_metrics.residual_correlation(prediction, reference, speaker)
    return values
