"""What a command shows while it works: bars on a terminal, plain lines in a log, a table of times."""

import contextlib
import dataclasses
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

console = Console(stderr=True)

LINE_S = 10.0  # least time between two lines of a log about the same work


def say(message: str) -> None:
    """Prints one line, as it is, however long."""
    console.print(message, highlight=False, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Prints one line of warning."""
    console.print(f"warning: {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """For people: `45 s`, `12 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def make_bar(*more: ProgressColumn, name: str = "{task.description:>16}", disable: bool = False) -> Progress:
    """A bar with the time taken and the time left; `more` columns stand at its end."""
    times = (TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn())
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), *times, *more)
    return Progress(*columns, console=console, disable=disable)


@contextlib.contextmanager
def counting(name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Shows how far the body is: a bar on a terminal, else a line now and then. Yields what advances it."""
    with _bar(name, total) if console.is_terminal else _lines(name, total) as advance:
        yield advance


@contextlib.contextmanager
def _bar(name: str, total: int | None) -> Iterator[Callable[[], None]]:
    with make_bar() as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
        if total is None:
            progress.update(task, total=1, completed=1)


@contextlib.contextmanager
def _lines(name: str, total: int | None) -> Iterator[Callable[[], None]]:
    start, done, last = time.monotonic(), 0, time.monotonic()

    def advance() -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if now - last < LINE_S or done == total:
            return
        last, rate = now, done / (now - start)
        left = f", {duration((total - done) / rate)} left" if total else ""
        say(f"{name} {done}{f'/{total}' if total else ''}, {60 * rate:.3g}/min{left}")

    yield advance
    count = f" {done}/{total}" if total else ""
    say(f"{name}{count} in {duration(time.monotonic() - start)}")


@dataclasses.dataclass
class StageTimes:
    """Seconds spent per stage of one or more clips, in the order in which the stages first ran."""

    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Shows the progress of the body and books its time; yields what advances it."""
        start = time.perf_counter()
        try:
            with counting(name, total) as advance:
                yield advance
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def print_table(self, clip_s: float) -> None:
        """Prints seconds and real-time factor (per second of clip) of each stage, and peak memory."""
        table = Table("stage", "seconds", "real-time factor")
        for name, seconds in [*self.seconds.items(), ("total", sum(self.seconds.values()))]:
            table.add_row(name, f"{seconds:.1f}", f"{seconds / max(clip_s, 1e-9):.2f}")
        console.print(table)
        console.print(f"peak memory {peak_memory_mb():.0f} MB")


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; ru_maxrss starts from the size of the parent
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes there, KiB elsewhere
