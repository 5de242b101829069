"""What a run writes for people and scripts: metrics.jsonl, TensorBoard scalars, a progress bar."""

import collections
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lhg_jax.progress import console, warn


class MetricsWriter:
    """Appends a JSON object a line to metrics.jsonl; TensorBoard, where installed, gets the same numbers."""

    def __init__(self, workdir: Path, step: int):
        """Lines after `step`, written by a run that ended between two saves, are dropped."""
        self._path = workdir / "metrics.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = _tensorboard(workdir)

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Writes the metrics `values` of `kind` ("train" or "eval") after `step` steps."""
        numbers = {name: float(f"{float(value):.6g}") for name, value in values.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "kind": kind, **numbers}) + "\n")
        if self._board:
            for name, value in numbers.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flushes what is left."""
        if self._board:
            self._board.close()


class Stopwatch:
    """Seconds per kind of work since the last `read`."""

    def __init__(self):
        self.seconds: dict[str, float] = collections.defaultdict(float)

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Books the time of the body under `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def read(self) -> dict[str, float]:
        """Seconds of each kind, and starts again from zero."""
        seconds = dict(self.seconds)
        self.seconds.clear()
        return seconds


def progress_bar() -> Progress:
    """A bar whose task has the field `status`, e.g. loss and clips/s."""
    return Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
    )


def _tensorboard(workdir: Path):
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        warn("tensorboardX is not installed: scalars go to metrics.jsonl only")
        return None
    return SummaryWriter(str(workdir / "tensorboard"))
