"""Metrics of a run: what steps report, gathered into lines, and the files that scripts read."""

import collections
import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, UInt8

from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import warn

COUNTERS = ("skipped", "skipped_in_a_row")
SECONDS = ("data_s", "step_s", "save_s", "eval_s")  # compilation is counted apart, as `compile_s`


@runtime_checkable
class MetricsWriter(Protocol):
    """Takes metrics and pictures of a run."""

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Takes the metrics `values` of `kind` ("train" or "eval") after `step` steps; nothing if empty."""

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Takes a picture."""

    def close(self) -> None:
        """Writes what is left."""


class NullWriter:
    """Writes nothing, in all processes but the first."""

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Nothing."""

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class JsonLinesWriter:
    """Appends a JSON object a line to metrics.jsonl; TensorBoard, where installed, gets the same numbers.

    What is not finite is `null` there: JSON has no NaN.
    """

    def __init__(self, workdir: Path, step: int):
        """Lines after `step`, written by a run that ended between two saves, are dropped, and half lines."""
        self._path = workdir / "metrics.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        with replacing(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = _tensorboard(workdir, step)

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """As `MetricsWriter` says."""
        if not values:
            return
        numbers = {name: float(f"{float(value):.9g}") for name, value in values.items()}  # all of a float32
        row = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "kind": kind, **row}, allow_nan=False) + "\n")
        if self._board:
            for name, value in numbers.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Shows a picture in TensorBoard."""
        if self._board:
            self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is left."""
        if self._board:
            self._board.close()


def open_writer(workdir: Path, step: int) -> MetricsWriter:
    """The writer of this process."""
    return NullWriter() if jax.process_index() else JsonLinesWriter(workdir, step)


class StepLog:
    """Metrics and times of the steps since the last summary; metrics are read while the next step runs."""

    def __init__(self, *, batch_size: int, max_skipped: int, flops: float, peak: float | None):
        """`flops` of a step; `peak` FLOP/s of all devices together, None where it is not known."""
        self._batch_size, self._max_skipped, self._flops, self._peak = batch_size, max_skipped, flops, peak
        self._waiting: Mapping[str, Array] | None = None
        self._history: list[dict[str, float]] = []
        self._seconds: dict[str, float] = collections.defaultdict(float)
        self.total_s: dict[str, float] = collections.defaultdict(float)

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Books the time of the body under `name`."""
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._seconds[name] += seconds
        self.total_s[name] += seconds

    def add(self, metrics: Mapping[str, Array]) -> None:
        """Takes the metrics of the step just sent off, and waits for those of the one before.

        Those of several steps in one program (`many_steps`) are arrays, a number a step.
        Raises `UserError` after too many skipped updates in a row.
        """
        self.flush()
        self._waiting = metrics

    def flush(self) -> None:
        """Waits for the metrics of the last step. Raises `UserError` as `add` does."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        columns = {name: np.atleast_1d(value) for name, value in jax.device_get(waiting).items()}
        for row in zip(*columns.values(), strict=True):
            values = dict(zip(columns, map(float, row), strict=True))
            if values["skipped_in_a_row"] >= self._max_skipped:
                raise UserError(
                    f"training: {self._max_skipped} updates in a row had gradients that are not finite "
                    "(lower optimizer.learning_rate, or look at the data)"
                )
            self._history.append(values)

    def summary(self) -> dict[str, float]:
        """Means since the last one (counters: last values), seconds of each kind, clips/s and MFU.

        `step_s` holds the wait for the devices; MFU is of the time in steps and waits for data.
        """
        with self.measure("step_s"):
            self.flush()
        values = {name: float(np.mean([row[name] for row in self._history])) for name in self._history[0]}
        values |= {name: self._history[-1][name] for name in COUNTERS}
        seconds = {name: self._seconds[name] for name in SECONDS}
        steps = len(self._history)
        values |= seconds | {"clips_per_s": steps * self._batch_size / max(sum(seconds.values()), 1e-9)}
        if self._peak:
            working_s = max(seconds["data_s"] + seconds["step_s"], 1e-9)
            values["mfu"] = steps * self._flops / working_s / self._peak
        self._history.clear()
        self._seconds.clear()
        return values


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except ValueError:  # the process was killed in the middle of a line
        return float("inf")


def _tensorboard(workdir: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        warn("tensorboardX is not installed: scalars go to metrics.jsonl only")
        return None
    return SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
