"""Listeners scored on held-out synthetic dyads by rule probes and errors, beside some that hear nothing."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import Example
from lhg_jax.motion import LANDMARK
from lhg_jax.simulator.dyads import Dyad, split_seed, synthesise
from lhg_jax.simulator.examples import make_example
from lhg_jax.simulator.rule_scores import mean_probe, probe

if TYPE_CHECKING:
    from lhg_jax.speech.bert import BertEncoder

Values = Float[np.ndarray, "frames coeff"]


@dataclasses.dataclass(frozen=True)
class TestClip:
    """One held-out dyad and what a model sees of it."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    dyad: Dyad
    example: Example


Listens = Callable[[TestClip], Values]


def test_clips(seed: int, count: int, encoder: "BertEncoder") -> list[TestClip]:
    """The first `count` dyads of the test split of the set `seed`."""
    return as_clips((synthesise(split_seed(seed, "test"), index) for index in range(count)), encoder)


def as_clips(dyads: Iterable[Dyad], encoder: "BertEncoder") -> list[TestClip]:
    """Dyads with what a model sees of them."""
    return [TestClip(dyad, make_example(dyad, encoder)) for dyad in dyads]


test_clips.__test__ = False  # type: ignore[attr-defined]


def score(listens: Listens, clips: Sequence[TestClip]) -> dict[str, float]:
    """Mean over clips of all probes and of the errors.

    Args:
      listens: gives [T, C] coefficients for a clip; row 0 is the clip's own.
      clips: of `test_clips`.

    Returns:
      The measures of `probes.probe`; mean absolute errors per coefficient, `exp_l1` (interocular distances)
      and `pose_l1` (rad; trans in its own units); `pose_speed`, mean change of the angles (degrees/s).
    """
    return mean_probe([clip_scores(listens(clip), clip) for clip in clips])


def clip_scores(values: Values, clip: TestClip) -> dict[str, float]:
    """What `score` averages, of one clip; NaN where the dyad gives no occasion."""
    motion = dataclasses.replace(clip.dyad.listener, values=values)
    error = np.abs(values - clip.dyad.listener.values)[1:]
    speed = np.abs(np.diff(motion.part("angle"), axis=0)).mean() * motion.fps
    errors = {
        "exp_l1": float(error[:, LANDMARK.slice("exp")].mean()),
        "pose_l1": float(error[:, LANDMARK.pose_indices()].mean()),
        "pose_speed": float(np.rad2deg(speed)),
    }
    return probe(motion, clip.dyad) | errors


def trivial_listeners(clips: Sequence[TestClip]) -> Mapping[str, Listens]:
    """Listeners that do not hear, and the simulator's own as the ceiling.

    `still` holds the first frame; `mean` adds to it the mean displacement of all clips; `random clip` replays
    the next clip's listener from this one's first frame; `mirror` copies the speaker's motion from there.
    """
    mean = np.mean([listener(clip).mean(0) - listener(clip)[0] for clip in clips], axis=0)

    def random_clip(clip: TestClip) -> Values:
        number = next(i for i, other in enumerate(clips) if other is clip)
        return moved_to(listener(clip)[0], listener(clips[(number + 1) % len(clips)]), len(listener(clip)))

    def mean_listener(clip: TestClip) -> Values:
        values = np.tile(listener(clip)[:1] + mean, (len(listener(clip)), 1))
        values[0] = listener(clip)[0]
        return values.astype(np.float32)

    return {
        "simulator (ceiling)": listener,
        "still": lambda clip: np.tile(listener(clip)[:1], (len(listener(clip)), 1)),
        "mean": mean_listener,
        "random clip": random_clip,
        "mirror": lambda clip: moved_to(listener(clip)[0], clip.dyad.speaker.values, len(listener(clip))),
    }


def listener(clip: TestClip) -> Values:
    """The simulator's listener."""
    return clip.dyad.listener.values


def moved_to(
    first_frame: Float[np.ndarray, "coeff"], values: Float[np.ndarray, "own_frames coeff"], frames: int
) -> Values:
    """`values` as a change from `first_frame`, repeated forwards and backwards up to `frames`."""
    period = np.concatenate([values, values[::-1]])
    return (first_frame + (np.resize(period, (frames, values.shape[1])) - values[0])).astype(np.float32)
