"""`python -m lhg_jax.fit_bridge`: a bridge from `landmark` to another space, from faces tracked in both.

Each portrait is animated by the mesh renderer with random mixtures of the face model's actions and turns. The
error is that of clips left out one by one: the correlation of bridged and directly tracked motion, for each
angle and for the actions that the target can show.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from scipy.ndimage import gaussian_filter1d

from lhg_jax import bridges, face_model, faces, media
from lhg_jax.faces import tracking_result
from lhg_jax.faces.face_tracking import follow
from lhg_jax.faces.landmark import LandmarkTracker, fit_clip
from lhg_jax.faces.network import NetworkTracker, SeenFaces
from lhg_jax.motion import LANDMARK, SPACES, Motion
from lhg_jax.outputs import require_outputs, require_suffix
from lhg_jax.render import load_renderer
from lhg_jax.util.cli import UNSET, parse
from lhg_jax.util.errors import UserError, about, run_cli
from lhg_jax.util.progress import counting

FRAMES, FPS = 150, 30.0  # of a rendered portrait
TURNING_RIDGE = 0.3  # best of 0.03, 0.1, 0.3, 1 for pitch, on eleven clips left out in turn (docs/weights.md)
SHOWN = ("jaw_open", "smile", "blink", "brow_raise")


@dataclasses.dataclass(frozen=True)
class Options:
    """Fits a bridge from `landmark`, which the demo listener speaks, to a renderer's space."""

    target: str
    """Name of the space to go to: deep3d_crop for PIRenderer, deep3d for 3DFaceShop, liveportrait, tddfa."""
    tracker_weights: Path
    """Network of that space's tracker (.onnx, docs/weights.md)."""
    output: Path
    """The bridge to write (.safetensors); `sample --bridge` takes it."""
    videos: Annotated[tuple[Path, ...], UNSET] = ()
    """Clips of one face each. Three or more people are best."""
    portraits: Annotated[tuple[Path, ...], UNSET] = ()
    """Pictures of one face each, which are animated with wide and random motion."""
    ridge: float = 1e-2
    """Penalty of the fit, relative to the mean variance of a coefficient."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """One face through a clip in both spaces, frame by frame."""

    name: str
    source: np.ndarray
    target: np.ndarray


def track_both(
    name: str, frames: Iterator[media.Frame], tracker: NetworkTracker, on_frame: Callable[[], None]
) -> Pair:
    """Measures a clip once, in both spaces."""
    seen = SeenFaces(tracker.network)
    sightings = follow(frames, on_frame, seen.see)
    tracking_result.require_face(sightings)
    ours, _ = fit_clip(sightings.landmarks)
    theirs = tracker.network.values(*seen.measured())
    pair = [
        tracking_result.to_motion(s, v, sightings) for s, v in ((LANDMARK, ours), (tracker.space, theirs))
    ]
    return Pair(name, *(motion.values.astype(np.float64) for motion in pair))


def animated(path: Path, seed: int) -> Iterator[media.Frame]:
    """A portrait with smooth random actions and turns."""
    rng = np.random.default_rng(seed)
    image = media.read_image(path)
    fit = LandmarkTracker().track_image(image)
    values = np.repeat(fit.values[None], FRAMES, axis=0)
    for action in face_model.ACTIONS:
        amount = np.clip(3.5 * gaussian_filter1d(rng.normal(size=FRAMES), 5), 0, 1)
        values[:, LANDMARK.slice("exp")] += amount[:, None] * face_model.action(action)
    turn = gaussian_filter1d(rng.normal(size=(FRAMES, 3)), 9, axis=0)
    values[:, LANDMARK.slice("angle")] += np.deg2rad([30.0, 35.0, 20.0]) * turn
    times_s = (np.arange(FRAMES) + 0.5) / FPS
    motion = Motion(LANDMARK, values.astype(np.float32))
    pictures = load_renderer("mesh")(image, fit).animate(motion, times_s)
    for i, picture in enumerate(pictures):
        yield media.Frame(i / FPS, picture)


def changes(pair: Pair, target: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Expression and angles, ours and theirs, less the clip's mean; our angles as theirs."""
    ours, theirs = (values - values.mean(axis=0) for values in (pair.source, pair.target))
    space, factors = SPACES[target], bridges.angle_factors(LANDMARK, SPACES[target])
    angles = ours[:, LANDMARK.slice("angle")] * factors
    return (
        ours[:, LANDMARK.slice("exp")],
        angles,
        theirs[:, space.slice("exp")],
        theirs[:, space.slice("angle")],
    )


def correlations(pair: Pair, target: str, maps: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Of bridged with direct motion: angles, and the expression along each action's image."""
    expression, turning = maps
    exp, angle, their_exp, their_angle = changes(pair, target)
    found = {}
    bridged = angle + exp @ turning
    for i, name in enumerate(("pitch", "yaw", "roll")):
        found[name] = correlation(bridged[:, i], their_angle[:, i])
    for name in SHOWN:
        direction = face_model.action(name) @ expression
        found[name] = correlation(exp @ expression @ direction, their_exp @ direction)
    return found


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where one of them stands still."""
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0


def fit(pairs: list[Pair], target: str, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """The maps of a bridge (`expression`, `turning`) from all of these clips, each weighed alike."""
    parts = [[x / np.sqrt(len(x)) for x in changes(pair, target)] for pair in pairs]
    exp, angle, their_exp, their_angle = (np.concatenate(column) for column in zip(*parts, strict=True))
    turning = bridges.fit_map(exp, their_angle - angle, TURNING_RIDGE)
    return bridges.fit_map(exp, their_exp, ridge), turning


def check(options: Options) -> None:
    """Raises `UserError`, before anything is tracked, for what cannot be fitted."""
    targets = [name for name in faces.TRACKERS if name != LANDMARK.name]
    if options.target not in targets:
        raise UserError(
            f"--target: no tracker gives the space {options.target!r} (known: {', '.join(targets)})"
        )
    if len(options.videos) + len(options.portraits) < 2:
        raise UserError("--videos, --portraits: at least two faces are needed: each is left out once")
    require_suffix(options.output, (".safetensors",), "bridge")
    require_outputs([options.output], [options.tracker_weights, *options.videos, *options.portraits])


def clips(options: Options) -> Iterator[tuple[str, Iterator[media.Frame]]]:
    """(name, frames) of every clip, real ones first."""
    for path in options.videos:
        yield path.name, media.read_frames(path)
    for seed, path in enumerate(options.portraits):
        yield f"{path.name}, animated", animated(path, seed)


def scores(pairs: list[Pair], options: Options) -> list[dict[str, float]]:
    """`correlations` of each clip with the fit on all others."""
    rows = []
    for pair in pairs:
        rest = [other for other in pairs if other is not pair]
        rows.append(correlations(pair, options.target, fit(rest, options.target, options.ridge)))
        print(f"{pair.name:28}", *(f"{name} {value:.2f}" for name, value in rows[-1].items()))
    return rows


def main() -> None:
    """Tracks, fits, and writes what was found."""
    options = parse(Options, "python -m lhg_jax.fit_bridge", __doc__)
    check(options)
    tracker = faces.get_tracker(SPACES[options.target], options.tracker_weights)
    assert isinstance(tracker, NetworkTracker)  # of every space that `check` lets through
    pairs = []
    for name, frames in clips(options):
        with about(name), counting(name) as advance:
            pairs.append(track_both(name, frames, tracker, advance))
    rows = scores(pairs, options)
    real = rows[: len(options.videos)] or rows
    median = {name: round(float(np.median([row[name] for row in real])), 3) for name in rows[0]}
    print(f"{'median of the real clips':28}", *(f"{name} {value:.2f}" for name, value in median.items()))
    maps = fit(pairs, options.target, options.ridge)
    bridges.save_bridge(options.output, bridges.Bridge(LANDMARK, tracker.space, *maps, median))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    run_cli(main)
