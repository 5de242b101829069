"""What preparing Seamless Interaction costs, on a generated tree of its layout, without tracking faces.

python tools/bench/seamless_dry_run.py [--dyads 1000] [--clips 40] [--tracker 58] [--folder DIR]

Measured, in processor time: planning (headers of shards, annotations, passages), and making clips but for the
tracking. What that costs is calculated from `--tracker`, frames/s a core; from it, what 4,000 h take.
"""

import argparse
import dataclasses
import io
import json
import resource
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lhg_jax import faces, media
from lhg_jax.faces.tracking_result import VideoFit
from lhg_jax.media import Frame
from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.preparation.excerpts import ExcerptJob
from lhg_jax.preparation.extraction import Recipe
from lhg_jax.preparation.seamless import read_seamless
from lhg_jax.preparation.seamless_files import Share

SECONDS = 30  # of each conversation, of which the two speak in turn
TURN_S = 14.0
DYADS_PER_SHARD = 50
HOURS, WORKERS = 4000, 100
PASSAGE_S = 20.0


class Unseen:
    """In place of a tracker: looks at no frame."""

    space = LANDMARK

    def track_video(self, frames: Iterable[Frame], on_frame: object = None) -> VideoFit:
        """Stillness, longer than any passage."""
        return VideoFit(
            Motion(LANDMARK, np.zeros((int(PASSAGE_S * FRAME_RATE) + 1, 70), np.float32)), 1.0, []
        )


def annotation(person: int) -> bytes:
    """Turns by turns, three words a second."""
    turns = [(start, start + TURN_S) for start in np.arange(person * TURN_S, SECONDS - TURN_S, 2 * TURN_S)]
    words = [
        {"word": "word", "start": float(t), "end": float(t) + 0.3, "score": 1.0}
        for a, b in turns
        for t in np.arange(a, b - 0.3, 1 / 3)
    ]
    row = {
        "id": "x",
        "metadata:vad": [{"start": float(a), "end": float(b) - 0.5} for a, b in turns],
        "metadata:transcript": [{"words": words, "start": 0.0, "end": float(SECONDS), "transcript": ""}],
    }
    return json.dumps(row).encode()


def write_tree(root: Path, dyads: int) -> None:
    """Shards whose sound is whole and whose videos are a few bytes, for nothing looks at them."""
    sound = root / "model.wav"
    wave = np.random.default_rng(0).normal(0, 0.05, SECONDS * 16_000).astype(np.float32)
    media.write_audio(sound, wave, 16_000)
    parts = {"mp4": b"\0" * 64, "wav": sound.read_bytes()}
    for first in range(0, dyads, DYADS_PER_SHARD):
        path = root / "improvised" / "train" / "0000" / f"{first // DYADS_PER_SHARD:04d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as shard:
            for number in range(first, min(first + DYADS_PER_SHARD, dyads)):
                for person in range(2):
                    for suffix, data in {**parts, "json": annotation(person)}.items():
                        info = tarfile.TarInfo(f"V00_S0001_I{number:08d}_P{person:04d}.{suffix}")
                        info.size = len(data)
                        shard.addfile(info, io.BytesIO(data))


@dataclasses.dataclass(frozen=True)
class Options:
    """Of the command."""

    dyads: int
    clips: int
    tracker: float


def measure(root: Path, options: Options) -> None:
    """Prints a line for each thing that is measured or calculated."""
    write_tree(root, options.dyads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    listing = read_seamless(root, Share())
    jobs = [ExcerptJob.plan(excerpt, Recipe()) for excerpt in listing.excerpts]
    plan_s = time.process_time() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"planning {options.dyads} dyads, {len(jobs)} clips: {plan_s:.1f} s, {grown:.0f} MB of memory")
    faces.get_tracker = lambda *_: Unseen()  # type: ignore[assignment, misc]
    jobs[0].make()  # loads the word encoder
    chosen = jobs[:: max(len(jobs) // options.clips, 1)][: options.clips]
    start = time.process_time()
    seconds = sum(job.make()[0].features.frames / FRAME_RATE for job in chosen) / len(chosen)
    clip_s = (time.process_time() - start) / len(chosen)
    print(f"a clip of {seconds:.1f} s, but for tracking: {clip_s:.3f} s, {1 / clip_s:.1f} clips/s a core")
    tracking_s = 2 * seconds * FRAME_RATE / options.tracker
    clips = HOURS * 3600 / seconds
    total_h = clips * (plan_s / len(jobs) + clip_s + tracking_s) / 3600
    print(f"tracking both faces at {options.tracker:g} frames/s (calculated): {tracking_s:.1f} s a clip")
    print(
        f"{HOURS} h of clips (calculated): {total_h:,.0f} core hours, {total_h / WORKERS:.0f} h on {WORKERS}"
    )


def main() -> None:
    """Reads the options, makes the tree and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dyads", type=int, default=1000)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--tracker", type=float, default=58.0, help="frames/s of one core")
    parser.add_argument("--folder", type=Path, default=None, help="for the tree (about 2 MB a dyad)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measure(Path(folder), Options(arguments.dyads, arguments.clips, arguments.tracker))


if __name__ == "__main__":
    main()
