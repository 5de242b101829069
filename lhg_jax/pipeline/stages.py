"""How the pipeline tells what it is doing: to a callback, to the bars of a command, or to nobody."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

Advance = Callable[[], None]
# (stage, steps done, steps in all or None where nobody knows): called when a stage starts, after each step,
# and at its end, where both numbers are equal.
Progress = Callable[[str, int, int | None], None]


@runtime_checkable
class Stages(Protocol):
    """Shows stages; `util.progress.StageTimes` draws bars."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """A stage lasts as long as the context; what it yields is called after each step."""


@dataclasses.dataclass(frozen=True)
class CallbackStages:
    """Tells a callback, from the thread that works; None tells nobody."""

    progress: Progress | None = None

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Stages`."""
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            tell(name, done, total)

        tell = self.progress or (lambda *_: None)
        tell(name, 0, total)
        yield advance
        if done != total:
            tell(name, total or max(done, 1), total or max(done, 1))


@dataclasses.dataclass(frozen=True)
class TimedStages:
    """Books the seconds of each stage of one clip, and passes them on to `shown`."""

    shown: Stages
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Stages`."""
        start = time.perf_counter()
        try:
            with self.shown.stage(name, total) as advance:
                yield advance
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
