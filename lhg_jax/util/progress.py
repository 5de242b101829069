"""What a command shows while it works: a progress bar per stage, and a table of where the time went."""

import contextlib
import dataclasses
import resource
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(stderr=True)


@dataclasses.dataclass
class StageTimes:
    """Seconds spent per stage of one or more clips, in the order in which the stages first ran."""

    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Shows a bar while the body runs and books its time; yields what advances the bar."""
        columns = (
            TextColumn("{task.description:>16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        start = time.perf_counter()
        try:
            with Progress(*columns, console=console) as progress:
                task = progress.add_task(name, total=total)
                yield lambda: progress.advance(task)
                if total is None:
                    progress.update(task, total=1, completed=1)
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes there, KiB elsewhere


def warn(message: str) -> None:
    """Prints one line of warning."""
    console.print(f"warning: {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)
