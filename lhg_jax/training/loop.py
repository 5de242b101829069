"""The training loop: jitted steps with hooks in between, until the last step or a signal."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from lhg_jax.config import TrainConfig
from lhg_jax.contract import RunIdentity
from lhg_jax.data.joined import open_sources
from lhg_jax.data.pipeline import TrainStream, to_devices
from lhg_jax.data.records import open_source
from lhg_jax.training.checkpoints import Checkpoints, DataState
from lhg_jax.training.display import Display, say_end, say_header, say_listener
from lhg_jax.training.distributed import StopRequest
from lhg_jax.training.hooks import Evaluate, Hook, LogMetrics, Save, StepEnd, Stream, Visualise
from lhg_jax.training.identity import check_same_run, run_identity, write_settings
from lhg_jax.training.listener_file import ListenerFile
from lhg_jax.training.logs import StepLog, open_writer
from lhg_jax.training.many_steps import stacked
from lhg_jax.training.setup import TrainingSetup
from lhg_jax.training.sharding import stacked_sharding
from lhg_jax.training.state import TrainState
from lhg_jax.training.visualise import DrawFrames, SamplePictures
from lhg_jax.util.errors import UserError, signal_handler
from lhg_jax.util.lock import locked
from lhg_jax.util.progress import say


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
      state: after the last step taken.
      finished: False where a signal ended it before its last step.
      signal: number of that signal; 0 where it came from another process, or where there was none.
      clips_per_s: crops trained on per second of this process's life in the loop, but for compiling the step.
      seconds: where that time went: compile_s, data_s, step_s, eval_s, save_s; the rest is missing to all_s.
      evaluation: metrics of the last evaluation, empty without one.
    """

    state: TrainState
    finished: bool
    signal: int
    clips_per_s: float
    seconds: dict[str, float]
    evaluation: dict[str, float]


@runtime_checkable
class Steps(Protocol):
    """What the loop needs of a run: `TrainingSetup`, or the second stage's."""

    config: TrainConfig
    mesh: Mesh

    @property
    def key(self) -> PRNGKeyArray:
        """Of all steps; each folds its number in."""

    @property
    def step(self) -> Callable[..., Any]:
        """(state, batch, key) -> (state, metrics), compiled; of several steps as `many_steps` says."""

    @property
    def evaluation(self) -> Any:
        """None, or as `evaluation.Evaluation`."""

    def flops(self) -> int:
        """Model FLOPs of one step; 0 where they were not counted."""

    def peak_flops(self) -> float | None:
        """FLOP/s of all devices together; None where it is not known."""


def train(config: TrainConfig, workdir: Path, draw_frames: DrawFrames | None = None) -> Summary:
    """Runs `config` from its newest save in `workdir`, or from scratch where there is none.

    With several processes (`distributed.connect`) every one of them calls it, with a `workdir` that all see.
    `draw_frames` makes pictures of motions, for `train.sample_every`.
    Raises `UserError` for data or settings that do not fit together, for a `workdir` in use, and after
    `train.max_skipped` updates in a row without a finite gradient.
    """
    setup = open_setup(config)
    identity = run_identity(config, setup.source, setup.held_out)
    with open_workdir(config, identity, workdir) as checkpoints:
        state, place = restore_or_init(setup, checkpoints)
        if int(state.step) < config.train.steps:  # a finished run is left as it is
            write_settings(config, identity, workdir)
        say_header(setup, state, workdir)
        stream = open_stream(setup, place)
        listener = ListenerFile(workdir, config, setup.model, setup.source, setup.mesh)
        save = Save(checkpoints, listener, stream)
        return run_with_hooks(setup, state, stream, save, workdir, draw_frames)


def evaluate_saved(config: TrainConfig, workdir: Path) -> tuple[int, dict[str, float]]:
    """Scores the newest save of `workdir` on the held-out clips; its step and the metrics.

    Raises `UserError` where there is no save or no clip.
    """
    setup = open_setup(config)
    if setup.evaluation is None:
        raise UserError("--evaluate-only needs held-out clips (--config.data.evaluation=FOLDER)")
    if not (workdir / "checkpoints").is_dir():
        raise UserError(f"{workdir}: holds no save to evaluate")
    with contextlib.closing(Checkpoints(workdir, config.checkpoint)) as checkpoints:
        restored = checkpoints.restore(setup.abstract_state())
    if restored is None:
        raise UserError(f"{workdir}: holds no save to evaluate")
    state, _ = restored
    return int(state.step), setup.evaluation(state)


@contextlib.contextmanager
def open_workdir(config: TrainConfig, identity: RunIdentity, workdir: Path) -> Iterator[Checkpoints]:
    """The saves of a working folder, which is this process's alone and holds no other run's.

    Raises `UserError` where it does, or is in use.
    """
    check_same_run(identity, workdir)
    alone = locked(workdir) if jax.process_index() == 0 else contextlib.nullcontext()
    with alone, contextlib.closing(Checkpoints(workdir, config.checkpoint)) as checkpoints:
        yield checkpoints


def run_with_hooks(
    setup: Steps,
    state: TrainState,
    stream: Stream,
    save: Save,
    workdir: Path,
    draw_frames: DrawFrames | None = None,
) -> Summary:
    """Takes the steps that are left. Between them: log, evaluate, draw, save."""
    loop, stop = setup.config.train, StopRequest()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stop.listening())
        writer = stack.enter_context(contextlib.closing(open_writer(workdir, int(state.step))))
        display = stack.enter_context(Display(loop.steps, int(state.step)))
        hooks: list[Hook] = [LogMetrics(loop.log_every, writer, display)]
        if setup.evaluation:
            hooks.append(Evaluate(loop.eval_every, setup.evaluation, writer, display))
        if setup.evaluation and loop.sample_every:
            pictures = stack.enter_context(SamplePictures(workdir, writer, draw_frames))
            hooks.append(Visualise(loop.sample_every, setup.evaluation, pictures))
        hooks.append(save)
        return run_steps(setup, state, stream, hooks, stop)


def run_steps(
    setup: Steps, state: TrainState, stream: Stream, hooks: Sequence[Hook], stop: StopRequest
) -> Summary:
    """The loop itself."""
    loop, log, first = setup.config.train, make_log(setup), int(state.step)
    count = loop.steps_per_call
    if first % count:
        raise UserError(f"train.steps_per_call={count} does not divide the {first} steps that are saved")
    evaluation: dict[str, float] = {}
    sharding = stacked_sharding(setup.mesh, count)
    batches, start = to_devices(stacked(stream, count), sharding), time.perf_counter()
    for step in range(first + count, loop.steps + 1, count):
        starting = step == first + count
        with log.measure("data_s"), undisturbed_workers(setup.config, starting):
            batch = next(batches)
        with log.measure("compile_s" if starting else "step_s"):
            state, metrics = setup.step(state, batch, setup.key)
            log.add(metrics)
        end = StepEnd(step, state, step == loop.steps, stop.agreed(step), log)
        for hook in hooks:
            hook(end)
        evaluation = end.scores or evaluation
        if end.stopping:
            break
    log.flush()
    seconds = dict(log.total_s) | {"all_s": max(time.perf_counter() - start, 1e-9)}
    clips = (int(state.step) - first) * loop.batch_size
    clips_per_s = clips / (seconds["all_s"] - seconds.get("compile_s", 0))
    return Summary(state, int(state.step) == loop.steps, stop.signal, clips_per_s, seconds, evaluation)


def open_setup(config: TrainConfig) -> TrainingSetup:
    """The compiled parts of a run on its data. Raises `UserError` for what does not fit together."""
    held_out = open_source(config.data.evaluation) if config.data.evaluation else None
    return TrainingSetup(config, open_sources(config.data.train), held_out)


def restore_or_init(setup: TrainingSetup, checkpoints: Checkpoints) -> tuple[TrainState, DataState]:
    """The newest save with its place in the data; else a fresh state, from weights if some are named."""
    restored = checkpoints.restore(setup.abstract_state())
    return (setup.init_state(), {"next_batch": 0}) if restored is None else restored


def open_stream(setup: TrainingSetup, place: DataState) -> TrainStream:
    """This process's batches from `place` on."""
    config, share = setup.config, {"process": jax.process_index(), "processes": jax.process_count()}
    size, seed = config.train.batch_size, config.train.seed
    stream = TrainStream(setup.source, config.data, config.augment, batch_size=size, seed=seed, **share)
    stream.set_state(place)
    return stream


def make_log(setup: Steps) -> StepLog:
    """An empty log of steps of this run."""
    loop, peak = setup.config.train, setup.peak_flops()
    flops = setup.flops() if peak else 0.0
    return StepLog(batch_size=loop.batch_size, max_skipped=loop.max_skipped, flops=flops, peak=peak)


@contextlib.contextmanager
def undisturbed_workers(config: TrainConfig, starting: bool) -> Iterator[None]:
    """Lets loader processes that start in the body ignore Ctrl-C, which a terminal sends to all of them."""
    if not (starting and config.data.workers):
        yield
        return
    with signal_handler(signal.SIGINT, signal.SIG_IGN):
        yield


def report(summary: Summary, workdir: Path) -> None:
    """How a run ended and where its listener is, by process 0."""
    if jax.process_index():
        return
    end = "finished" if summary.finished else "stopped and saved"
    say_end(summary.state, summary.evaluation, summary.seconds, summary.clips_per_s, end)
    if not summary.finished:
        say("the same command goes on from there")
    say_listener(workdir)
