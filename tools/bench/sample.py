"""Seconds and peak memory of the whole sampling command, with a cold and a warm compilation cache.

python tools/bench/sample.py --speaker talk.mp4 --listener face.png [--runs 3]
"""

import dataclasses
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """One clip, made several times."""

    speaker: Path
    listener: Path
    runs: int = 3


def run(options: Options, folder: Path, cache: Path) -> tuple[float, str]:
    """One command; returns its wall time (s) and its report."""
    command = [sys.executable, "-m", "lhg_jax.sample", "--output", str(folder / "out.mp4")]
    command += ["--speaker", str(options.speaker), "--listener", str(options.listener)]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | {"XDG_CACHE_HOME": str(cache)}, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, done.stderr


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cold = [run(options, folder, folder / f"cache{i}")[0] for i in range(options.runs)]
        warm, reports = zip(
            *[run(options, folder, folder / "cache0") for _ in range(options.runs)], strict=True
        )
    print(re.sub(r"^.*━.*$\n?", "", reports[-1], flags=re.MULTILINE))
    for name, seconds in (("cold", cold), ("warm", warm)):
        spread = f"{min(seconds):.1f}-{max(seconds):.1f}"
        print(f"{name} cache: median {statistics.median(seconds):.1f} s of {options.runs} runs ({spread})")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    print(f"peak memory of any run: {peak:.0f} MB")


if __name__ == "__main__":
    main()
