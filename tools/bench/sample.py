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


def run(speaker: Path, listener: Path, folder: Path, *flags: str, **environment: str) -> tuple[float, str]:
    """One command, whose output goes into `folder`; returns its wall time (s) and its report."""
    command = [sys.executable, "-m", "lhg_jax.sample", "--output", str(folder / "out.mp4"), *flags]
    command += ["--speaker", str(speaker), "--listener", str(listener)]
    start = time.perf_counter()
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stderr


def main() -> None:
    options = tyro.cli(Options, prog="python tools/bench/sample.py", description=__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder, pair = Path(name), (options.speaker, options.listener)
        caches = [str(folder / f"cache{i}") for i in range(options.runs)]
        cold = [run(*pair, folder, XDG_CACHE_HOME=cache)[0] for cache in caches]
        warm, reports = zip(*[run(*pair, folder, XDG_CACHE_HOME=caches[0]) for _ in caches], strict=True)
    print(re.sub(r"^.*━.*$\n?", "", reports[-1], flags=re.MULTILINE))
    for name, seconds in (("cold", cold), ("warm", warm)):
        spread = f"{min(seconds):.1f}-{max(seconds):.1f}"
        print(f"{name} cache: median {statistics.median(seconds):.1f} s of {options.runs} runs ({spread})")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    print(f"peak memory of any run: {peak:.0f} MB")


if __name__ == "__main__":
    main()
