"""Peak memory of the sampling command on a clip and on the same clip ten times over.

python tools/bench/sample_memory.py --speaker talk.mp4 --listener face.png [--seconds 60 --times 10]
"""

import dataclasses
import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
import tyro
from sample import run

from lhg_jax import media


@dataclasses.dataclass(frozen=True)
class Options:
    """A clip, repeated until it is long enough."""

    speaker: Path
    listener: Path
    seconds: float = 60.0
    """Length of the shorter clip."""
    times: int = 10
    """How much longer the other one is."""
    size: int = 128
    """Width and height of both; less makes tracking quicker."""


def write_repeated(source: Path, path: Path, seconds: float, size: int) -> None:
    """`source` at 25 frames/s, over and over, with its sound."""
    shape = (size, size)
    frames = [cv2.resize(f.image, shape, interpolation=cv2.INTER_AREA) for f in media.read_frames(source)]
    sound = np.resize(media.read_audio(source), int(seconds * media.SAMPLE_RATE))
    count = int(seconds * 25)
    with media.VideoWriter(path, size, size, np.arange(count) / 25, audio=sound) as video:
        for number in range(count):
            video.write(frames[number % len(frames)])


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peaks = []
        for times in (1, options.times):
            clip = folder / f"{times}.mp4"
            write_repeated(options.speaker, clip, times * options.seconds, options.size)
            _, report = run(clip, options.listener, folder, "--asr", "none")
            peaks.append(float(re.search(r"peak memory (\d+) MB", report)[1]))
            print(f"{times * options.seconds:.0f} s: peak {peaks[-1]:.0f} MB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python tools/bench/sample_memory.py", description=__doc__))
