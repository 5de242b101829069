"""Where the time of making clips goes, across worker processes: each clip brings its own seconds home."""

import contextlib
import threading
import time
from collections.abc import Iterator

Seconds = dict[str, float]  # by stage

_this_thread = threading.local()


def add(seconds: Seconds, more: Seconds) -> None:
    """Books more seconds."""
    for stage, spent in more.items():
        seconds[stage] = seconds.get(stage, 0.0) + spent


@contextlib.contextmanager
def timed(stage: str) -> Iterator[None]:
    """Books the body's seconds under the name of a stage, for the `clocked` around it, if there is one."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds = getattr(_this_thread, "seconds", None)
        if seconds is not None:
            add(seconds, {stage: time.perf_counter() - start})


@contextlib.contextmanager
def clocked() -> Iterator[Seconds]:
    """Yields what is filled with the seconds of each stage in the body, in this thread."""
    seconds: Seconds = {}
    _this_thread.seconds = seconds
    try:
        yield seconds
    finally:
        _this_thread.seconds = None
