"""What happens between two steps: log, evaluate, draw, save. The order of the list is the policy."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from lhg_jax.training.checkpoints import Checkpoints
from lhg_jax.training.display import Display
from lhg_jax.training.logs import MetricsWriter, StepLog
from lhg_jax.training.state import TrainState
from lhg_jax.training.visualise import SamplePictures


@dataclasses.dataclass
class StepEnd:
    """Where the run stands after a step.

    Attributes:
      step: number of steps taken.
      state: after them.
      last: whether the run is finished.
      stopping: whether it was told to stop here.
      log: of metrics and times.
      scores: of an evaluation of this very state; filled in by `Evaluate`, read by `Save`.
    """

    step: int
    state: TrainState
    last: bool
    stopping: bool
    log: StepLog
    scores: dict[str, float] = dataclasses.field(default_factory=dict)


@runtime_checkable
class Stream(Protocol):
    """Batches whose place can be saved (data.pipeline.TrainStream)."""

    def get_state(self) -> dict[str, int]:
        """The place, for a checkpoint."""

    def __iter__(self) -> Iterator[Any]:
        """Batches of this process."""

    def __next__(self) -> Any:
        """The next of them."""


@runtime_checkable
class ListenerWriter(Protocol):
    """Writes the trained listener (listener_file.ListenerFile)."""

    def write(self, state: TrainState) -> None:
        """The averaged parameters of `state`."""


@runtime_checkable
class Hook(Protocol):
    """Called after every step, in every process."""

    def __call__(self, end: StepEnd) -> None:
        """Does what is due."""


@dataclasses.dataclass
class LogMetrics:
    """Writes a line of metrics every `every` steps."""

    every: int
    writer: MetricsWriter
    display: Display
    compiled: bool = dataclasses.field(default=False, init=False)

    def __call__(self, end: StepEnd) -> None:
        """Waits for the step's metrics where a line is due."""
        if not self.compiled:
            self.compiled = True
            self.display.compiled(end.log.total_s["compile_s"])
        if end.step % self.every == 0:
            values = end.log.summary()
            self.writer.write(end.step, "train", values)
            self.display.summarised(end.step, values)
        self.display.stepped(end.step)


@dataclasses.dataclass
class Evaluate:
    """Scores the state on the held-out clips every `every` steps and after the last one."""

    every: int
    evaluation: Any  # of either stage: called with a state, `sample` and `space`
    writer: MetricsWriter
    display: Display

    def __call__(self, end: StepEnd) -> None:
        """Leaves the scores in `end`."""
        if not (end.last or end.step % self.every == 0):
            return
        with end.log.measure("eval_s"):
            end.scores = self.evaluation(end.state)
        self.writer.write(end.step, "eval", end.scores)
        self.display.evaluated(end.step, end.scores)


@dataclasses.dataclass
class Visualise:
    """Draws what the listener does on the first held-out clip every `every` steps and after the last one."""

    every: int
    evaluation: Any  # of either stage: called with a state, `sample` and `space`
    pictures: SamplePictures

    def __call__(self, end: StepEnd) -> None:
        """Predicts here; draws in the background."""
        if end.last or end.step % self.every == 0:
            with end.log.measure("eval_s"):
                predicted, target = self.evaluation.sample(end.state)
                self.pictures.show(end.step, predicted, target, self.evaluation.space, last=end.last)


@dataclasses.dataclass
class Save:
    """Saves state and place in the data when a save is due, after the last step and before a stop."""

    checkpoints: Checkpoints
    listener: ListenerWriter
    stream: Stream

    def __call__(self, end: StepEnd) -> None:
        """The listener's file comes first: a run killed in between saves again, but not that file."""
        if not (self.checkpoints.should_save(end.step) or end.last or end.stopping):
            return
        with end.log.measure("save_s"):
            if self.checkpoints.is_best(end.scores):
                self.listener.write(end.state)
            self.checkpoints.save(end.state, self.stream.get_state(), end.scores)
