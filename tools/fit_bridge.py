"""Fits a bridge between two coefficient spaces on faces that are tracked in both.

  python tools/fit_bridge.py --target tddfa --tracker-weights tddfa.onnx \\
      --videos CLIP... --portraits FACE... --output lhg_jax/assets/bridges/landmark_to_tddfa.safetensors

Each portrait is animated by the mesh renderer with random mixtures of the face model's actions and turns. The
error is that of clips left out one by one: the correlation of bridged and directly tracked motion, for each
angle and for the actions that the target can show.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from scipy.ndimage import gaussian_filter1d

from lhg_jax import bridges, face_model, faces, media
from lhg_jax.faces import network, tracking_result
from lhg_jax.faces.face_tracking import follow
from lhg_jax.faces.landmark import LandmarkTracker, fit_clip
from lhg_jax.motion import LANDMARK, SPACES, Motion
from lhg_jax.render import load_renderer
from lhg_jax.util.errors import about, run_cli

FRAMES, FPS = 150, 30.0  # of a rendered portrait
SHOWN = ("jaw_open", "smile", "blink", "brow_raise")


@dataclasses.dataclass(frozen=True)
class Options:
    """Fits a bridge from `landmark` to another space."""

    target: str
    """Name of the space to go to."""
    tracker_weights: Path
    """Network of that space's tracker (.onnx)."""
    output: Path
    """The bridge to write (.safetensors)."""
    videos: tuple[Path, ...] = ()
    """Clips of one face each."""
    portraits: tuple[Path, ...] = ()
    """Pictures of one face each, to be animated."""
    ridge: Annotated[float, tyro.conf.arg(help="Penalty, relative to the variance.")] = 1e-2


@dataclasses.dataclass(frozen=True)
class Pair:
    """One face through a clip in both spaces, frame by frame."""

    name: str
    source: np.ndarray
    target: np.ndarray


def track_both(name: str, frames: Iterator[media.Frame], tracker: network.NetworkTracker) -> Pair:
    """Measures a clip once, in both spaces."""
    seen = network._Faces(tracker.network)
    sightings = follow(frames, None, seen.see)
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


def centred(pair: Pair, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Both expressions less the clip's mean."""
    parts = pair.source[:, LANDMARK.slice("exp")], pair.target[:, SPACES[target].slice("exp")]
    return tuple(part - part.mean(axis=0) for part in parts)


def correlations(pair: Pair, target: str, expression: np.ndarray) -> dict[str, float]:
    """Of bridged with direct motion: angles, and the expression along each action's image."""
    bridge = bridges.Bridge(LANDMARK, SPACES[target], expression, {})
    ours, theirs = centred(pair, target)
    found = {}
    angles = [p[:, SPACES[s].slice("angle")] for p, s in ((pair.source, "landmark"), (pair.target, target))]
    for i, name in enumerate(("pitch", "yaw", "roll")):
        found[name] = float(np.corrcoef(angles[0][:, i] * bridge._signs()[i], angles[1][:, i])[0, 1])
    for name in SHOWN:
        direction = face_model.action(name) @ expression
        found[name] = float(np.corrcoef(ours @ expression @ direction, theirs @ direction)[0, 1])
    return found


def fit(pairs: list[Pair], target: str, ridge: float) -> np.ndarray:
    """The map on all of these clips, each weighed alike."""
    parts = [centred(pair, target) for pair in pairs]
    weights = [1 / np.sqrt(len(pair.source)) for pair in pairs]
    ours, theirs = (np.concatenate([w * p[i] for w, p in zip(weights, parts, strict=True)]) for i in (0, 1))
    return bridges.fit_expression(ours, theirs, ridge)


def main() -> None:
    """Tracks, fits, and writes what was found."""
    options = tyro.cli(Options, description=__doc__)
    tracker = faces.get_tracker(SPACES[options.target], options.tracker_weights)
    clips = [(path.name, lambda p=path: media.read_frames(p)) for path in options.videos]
    clips += [
        (f"{p.name}, animated", lambda p=p, i=i: animated(p, i)) for i, p in enumerate(options.portraits)
    ]
    pairs = []
    for name, frames in clips:
        with about(name):
            pairs.append(track_both(name, frames(), tracker))
    rows = []
    for pair in pairs:
        rest = [other for other in pairs if other is not pair]
        rows.append(correlations(pair, options.target, fit(rest, options.target, options.ridge)))
        print(f"{pair.name:28}", *(f"{name} {value:.2f}" for name, value in rows[-1].items()))
    real = rows[: len(options.videos)] or rows
    mean = {name: round(float(np.median([row[name] for row in real])), 3) for name in rows[0]}
    print(f"{'median of the real clips':28}", *(f"{name} {value:.2f}" for name, value in mean.items()))
    expression = fit(pairs, options.target, options.ridge)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    bridge = bridges.Bridge(LANDMARK, SPACES[options.target], expression, mean)
    bridges.save_bridge(options.output, bridge)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    run_cli(main)
