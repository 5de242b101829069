"""What the anchor of a window is worth: the demo listener on held-out dyads, run in three ways.

`drifting` starts each window from the motion blended so far, as was done before; `anchored` keeps the first
frames of the clip, as `windowed_inference` does; `whole` sees the clip in one window.

python tools/bench/anchored_windows.py [--clips 30]
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float

from lhg_jax import windowed_inference
from lhg_jax.contract import InferenceSpec, SpeakerFeatures
from lhg_jax.features import crop_features
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.simulator.benchmark import TestClip, score, test_clips
from lhg_jax.simulator.rule_scores import mean_probe
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.util.errors import run_cli
from lhg_jax.windowed_inference import PredictWindow, crossfade, window_starts

COLUMNS = (
    "exp_l1",
    "pose_l1",
    "mirror_correlation",
    "smile_correlation",
    "mirror_gain_error",
    "nod_f1",
    "blink_recall",
)
SPEC = InferenceSpec()  # windows of 178 frames that share 60
WHOLE = 602  # frames: the longest clip of the simulator, and 4 k + 2
ALL_WORDS = 256  # of such a clip


@dataclasses.dataclass(frozen=True)
class Options:
    """Which listener, on how many clips."""

    clips: int = 30
    """Held-out dyads (test split of seed 0), >= 2."""
    checkpoint: Path | None = None
    """A trained listener; the demo without one."""


def drifting(
    predict: PredictWindow, features: SpeakerFeatures, first_frame: Float[np.ndarray, "coeff"]
) -> Float[np.ndarray, "frames coeff"]:
    """Windows that begin where the motion is, and take the speaker's change from there."""
    motion = np.zeros((features.frames, len(first_frame)), np.float32)
    motion[0], covered = first_frame, 1
    for start in window_starts(features.frames, SPEC.window, SPEC.overlap):
        stop = min(start + SPEC.window, features.frames)
        crop = crop_features(features, start, SPEC.window, SPEC.max_words)
        new = predict(crop, motion[start])[: stop - start]
        fade = crossfade(covered - start)
        motion[start:covered] = (1 - fade) * motion[start:covered] + fade * new[: covered - start]
        motion[covered:stop] = new[covered - start :]
        covered = stop
    return motion


def anchored(
    predict: PredictWindow, features: SpeakerFeatures, first_frame: Float[np.ndarray, "coeff"]
) -> Float[np.ndarray, "frames coeff"]:
    """As the command does it."""
    return windowed_inference.generate(predict, features, first_frame, SPEC)


def whole(
    predict: PredictWindow, features: SpeakerFeatures, first_frame: Float[np.ndarray, "coeff"]
) -> Float[np.ndarray, "frames coeff"]:
    """One window that holds the clip."""
    return predict(crop_features(features, 0, WHOLE, ALL_WORDS), first_frame)[: features.frames]


def score_each(listens, clips: list[TestClip]) -> list[dict[str, float]]:
    """Scores of each clip; the error of the gain is the distance from the listener's own."""
    return [score(listens, [clip]) for clip in clips]


def paired(before: list[dict], after: list[dict], name: str) -> str:
    """Mean difference of a score with its 95 % interval, over clips that have it both times."""
    differences = np.array([b[name] - a[name] for a, b in zip(before, after, strict=True)])
    differences = differences[np.isfinite(differences)]
    half = 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.4f} ± {half:.4f}"


def main(options: Options) -> None:
    trained: ListenerModel = load_listener(options.checkpoint)
    clips = test_clips(0, options.clips, BertEncoder.load(None))
    rows = {}
    for way in (drifting, anchored, whole):
        listen = functools.partial(way, trained.predict)
        rows[way.__name__] = score_each(
            lambda c, f=listen: f(c.example.features, c.example.listener_motion[0]), clips
        )
    print("| windows |", " | ".join(COLUMNS), "|\n" + "|---" * (len(COLUMNS) + 1) + "|")
    for name, some in rows.items():
        means = mean_probe(some)
        print(f"| {name} |", " | ".join(f"{means[column]:.4f}" for column in COLUMNS), "|")
    before, after = rows["drifting"], rows["anchored"]
    print("| anchored - drifting |", " | ".join(paired(before, after, c) for c in COLUMNS), "|")
    better = sum(a["pose_l1"] < b["pose_l1"] for a, b in zip(after, before, strict=True))
    print(f"\npose_l1 falls in {better} of {len(clips)} clips")


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
