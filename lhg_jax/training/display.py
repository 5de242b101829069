"""What a run shows people: a header, a bar or plain lines, how it ended (by process 0)."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.progress import Progress, TextColumn

import lhg_jax
from lhg_jax.training.listener_file import NAME
from lhg_jax.training.setup import TrainingSetup
from lhg_jax.training.state import TrainState
from lhg_jax.util import progress
from lhg_jax.util.progress import duration, say

SHOWN = ("L_dec", "L_const", "exp_l1", "pose_l1")  # of an evaluation; metrics.jsonl has all of it


class Display:
    """Progress of one run, used as a context around its steps."""

    def __init__(self, steps: int, first: int):
        """`first` steps of `steps` are done already."""
        self._steps, self.first, self._shown = steps, first, jax.process_index() == 0
        self._bar: Progress | None = None
        if self._shown and progress.console.is_terminal:
            self._bar = progress.make_bar(TextColumn("{task.fields[status]}"), name="training")
            self._task = self._bar.add_task("training", total=steps, completed=first, status="compiling")
        self._start = self._last = time.monotonic()

    def __enter__(self) -> "Display":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar:
            self._bar.stop()

    def compiled(self, seconds: float) -> None:
        """The first step was compiled (or found in the cache) and sent off."""
        self._start = self._last = time.monotonic()
        self._say(f"step ready in {duration(seconds)}")

    def stepped(self, step: int) -> None:
        """`step` steps are done."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def summarised(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics of the last steps: the bar's status, or a line, but not too many of them."""
        status = f"loss {values['loss']:.4f}, {values['clips_per_s']:.1f} clips/s"
        if values["skipped"]:
            status += f", {values['skipped']:.0f} updates skipped"
        if self._bar:
            self._bar.update(self._task, status=status)
            return
        now = time.monotonic()
        if now - self._last < progress.LINE_S and step != self._steps:
            return
        self._last = now
        left_s = (now - self._start) / max(step - self.first - 1, 1) * (self._steps - step)
        self._say(f"step {step}/{self._steps}: {status}, {duration(left_s)} left")

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        """An evaluation after `step` steps."""
        shown = ", ".join(f"{name} {scores[name]:.4g}" for name in SHOWN if name in scores)
        self._say(f"step {step}/{self._steps}: held-out clips: {shown}")

    def _say(self, message: str) -> None:
        if self._shown:
            say(message)


def say_header(setup: TrainingSetup, state: TrainState, workdir: Path) -> None:
    """What is about to run, and where it goes on, by process 0."""
    if jax.process_index():
        return
    config, device = setup.config, jax.devices()[0]
    machines = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    length = duration(3600 * setup.source.metadata.hours)
    clips = f"{len(setup.source)} clips ({length}) of {config.data.train}"
    held_out = f"{len(setup.held_out)} held out" if setup.held_out else "none held out"
    step = int(state.step)
    where = f"continues at step {step} of" if step else "starts, for"
    save = f" ({workdir / 'checkpoints' / str(step)})" if step else ""
    for line in (
        f"lhg_jax {lhg_jax.__version__}, JAX {jax.__version__}, "
        f"{jax.device_count()} x {device.device_kind}{machines}",
        f"{type(setup.model).__name__} with {parameters:,} parameters; "
        f"batches of {config.train.batch_size} x {config.data.crop_frames} frames",
        f"{clips}; {held_out}",
        f"{workdir}: {where} {config.train.steps} steps{save}",
    ):
        say(line)
    if step < config.train.steps:
        say("compiling the step, or reading it from the cache")


def say_end(
    state: TrainState, evaluation: Mapping[str, float], seconds: Mapping[str, float], rate: float, end: str
) -> None:
    """The last line of a run but one: how it ended, and where its time went."""
    shares = ", ".join(
        f"{name.removesuffix('_s')} {value / seconds['all_s']:.1%}"
        for name, value in seconds.items()
        if name != "all_s"
    )
    scores = ", ".join(f"{name} {value:.4g}" for name, value in evaluation.items())
    work = f"{rate:.1f} clips/s ({shares}), {int(state.skipped)} skipped"
    line = f"{end} at step {int(state.step)}: {work if shares else 'nothing was left to do'}"
    say("; ".join(filter(None, [line, scores])))


def say_listener(workdir: Path) -> None:
    """Where the listener is; a run that stops before its first evaluation may have no best one."""
    if (workdir / NAME).exists():
        say(f"listener: {workdir / NAME}")
