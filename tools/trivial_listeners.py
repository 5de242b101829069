"""Scores listeners that learn nothing on prepared synthetic dyads, as rows beside those of tools/sweep.py.

python tools/trivial_listeners.py --train out/bench/train --test out/bench/test --out out/small
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float
from sweep_table import RESULT, write_result

from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.simulator.benchmark import Listens, TestClip, moved_to, score, trivial_listeners
from lhg_jax.training.evaluation import FrechetSums, synthetic_dyads
from lhg_jax.util.errors import run_cli
from lhg_jax.util.progress import console


@dataclasses.dataclass(frozen=True)
class Options:
    """Where the clips are."""

    train: Path
    """Clips among which the nearest speaker is looked for."""
    test: Path
    """Synthetic clips to score on."""
    out: Path
    """Folder of the sweep."""
    clips: int = 100
    """Most clips to score on: `data.probe_clips` of the sweep."""


def nearest_audio(source: RecordSource) -> Listens:
    """The listener of the training clip whose speaker sounds most alike, from this clip's first frame.

    Alike: distance of the means and deviations over time of all MFCCs and their deltas, in standard units.
    """
    sounds = np.stack([_sound(source[i].features) for i in range(len(source))])
    std = sounds.std(axis=0) + 1e-6

    def listens(clip: TestClip) -> Float[np.ndarray, "frames coeff"]:
        distance = np.linalg.norm((sounds - _sound(clip.example.features)) / std, axis=1)
        found = source[int(distance.argmin())]
        truth = clip.dyad.listener.values
        return moved_to(truth[0], found.listener_motion[found.listener_seen], len(truth))

    return listens


def _sound(features) -> Float[np.ndarray, "numbers"]:
    mfcc = features.mfcc.astype(np.float32)  # sums of half precision overflow
    return np.concatenate([mfcc.mean(axis=0), mfcc.std(axis=0)])


def frechet(listens: Listens, clips: list[TestClip]) -> dict[str, float]:
    """As `training.evaluation` takes them."""
    sums = FrechetSums(clips[0].dyad.listener.space)
    for clip in clips:
        truth = clip.dyad.listener.values
        sums.add(listens(clip)[None], truth[None], np.ones((1, len(truth)), bool))
    return sums.distances()


def main(options: Options) -> None:
    clips = synthetic_dyads(open_source(options.test), options.clips)
    listeners = {**trivial_listeners(clips), "nearest audio": nearest_audio(open_source(options.train))}
    for name, listens in listeners.items():
        scores = {f"probe_{key}": value for key, value in score(listens, clips).items() if np.isfinite(value)}
        folder = options.out / name.replace(" ", "_") / "seed0"
        folder.mkdir(parents=True, exist_ok=True)
        write_result(folder, name, 0, scores | frechet(listens, clips))
        console.print(folder / RESULT)


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/trivial_listeners.py", description=__doc__)))
