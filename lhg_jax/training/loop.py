"""The training loop: data in, jitted steps, logs, evaluations and saves, until the last step or SIGTERM."""

import contextlib
import dataclasses
import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh

from lhg_jax.config import TrainConfig, to_json
from lhg_jax.data.pipeline import TrainStream, crop, eval_batches, to_devices
from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.data.schema import stack
from lhg_jax.errors import UserError
from lhg_jax.models.listener import Listener, ListenerConfig
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener
from lhg_jax.motion import CoefficientSpace
from lhg_jax.progress import console
from lhg_jax.training.checkpoints import Checkpoints
from lhg_jax.training.logs import MetricsWriter, Stopwatch, progress_bar
from lhg_jax.training.objective import EvalSums, make_objective, measure
from lhg_jax.training.sharding import (
    abstract_sharded,
    batch_sharding,
    create_sharded,
    make_mesh,
    replicated,
)
from lhg_jax.training.state import DROPOUT_STREAM, TrainState, init_state, make_optimizer
from lhg_jax.training.step import Metrics, eval_step, train_step


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
      state: after the last step taken.
      finished: False where SIGTERM ended it before its last step.
      clips_per_s: crops trained on per second of this process's life in the loop.
      evaluation: metrics of the last evaluation, empty without one.
    """

    state: TrainState
    finished: bool
    clips_per_s: float
    evaluation: dict[str, float]


def build_model(config: ListenerConfig | ViCoConfig) -> nn.Module:
    """The module that goes with a model's settings."""
    return ViCoListener(config) if isinstance(config, ViCoConfig) else Listener(config)


def train(config: TrainConfig, workdir: Path) -> Summary:
    """Runs `config` from its newest save in `workdir`, or from scratch where there is none.

    Raises `UserError` for data or settings that do not fit together, and after `train.max_skipped` updates in
    a row without a finite gradient.
    """
    source = open_source(config.data.train)
    held_out = open_source(config.data.evaluation) if config.data.evaluation else None
    check_space(config, source.space)
    run = Run(config, source.space, held_out)
    write_settings(config, workdir)
    checkpoints = Checkpoints(workdir, config.checkpoint)
    stream = TrainStream(
        source,
        config.data,
        config.augment,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        process=jax.process_index(),
        processes=jax.process_count(),
    )
    if (restored := checkpoints.restore(run.abstract_state(source))) is not None:
        state, place = restored
        stream.set_state(place)
    else:
        state = run.fresh_state(source)
    writer = MetricsWriter(workdir, int(state.step))
    try:
        return run_steps(run, state, stream, checkpoints, writer)
    finally:
        writer.close()
        checkpoints.close()


class Run:
    """The compiled parts of a run."""

    def __init__(self, config: TrainConfig, space: CoefficientSpace, held_out: RecordSource | None):
        self.config = config
        self.held_out = held_out
        self.space = space
        self.mesh: Mesh = make_mesh(config.train.fsdp)
        self.model = build_model(config.model)
        self.optimizer = make_optimizer(config.optimizer, config.train.steps)
        step = functools.partial(
            train_step,
            model=self.model,
            objective=make_objective(config.loss, space),
            optimizer=self.optimizer,
            ema_decay=config.optimizer.ema_decay,
        )
        self.step = jax.jit(step, donate_argnums=0)
        self.predict = jax.jit(functools.partial(eval_step, model=self.model))
        self.measure = jax.jit(functools.partial(measure, config=config.loss, space=space))
        seed = jax.random.key(config.train.seed)
        self.key = jax.device_put(jax.random.fold_in(seed, DROPOUT_STREAM), replicated(self.mesh))

    def fresh_state(self, source: RecordSource) -> TrainState:
        """The state before the first step, spread over the mesh."""
        return create_sharded(self._creator(source), self.mesh)

    def abstract_state(self, source: RecordSource) -> TrainState:
        """Shapes and layout of the state, to restore a save into."""
        return abstract_sharded(self._creator(source), self.mesh)

    def _creator(self, source: RecordSource) -> Callable[[], TrainState]:
        """`source` gives shapes and motion statistics."""
        example = stack([crop(source[0], 0, self.config.data.crop_frames)])
        mean, std = (np.asarray(x, np.float32) for x in (source.metadata.mean, source.metadata.std))
        seed = self.config.train.seed
        return functools.partial(init_state, self.model, self.optimizer, example, seed, mean, std)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Metrics of the averaged parameters over every held-out clip, each counted once."""
        if self.held_out is None:
            return {}
        data = self.config.data
        batches = eval_batches(
            self.held_out,
            data.eval_frames,
            batch_size=data.eval_batch_size,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
        sums = EvalSums()
        for batch in to_devices(batches, batch_sharding(self.mesh)):
            sums.add(jax.device_get(self.measure(self.predict(state, batch), batch)))
        return sums.means()


def run_steps(
    run: Run, state: TrainState, stream: TrainStream, checkpoints: Checkpoints, writer: MetricsWriter
) -> Summary:
    """Takes the steps that are left. Metrics of a step are read while the next one runs."""
    loop = run.config.train
    first, clock, stop = int(state.step), Stopwatch(), StopRequest()
    start, waiting, history, evaluation = time.perf_counter(), None, [], {}
    batches = to_devices(stream, batch_sharding(run.mesh))
    with progress_bar() as progress, stop.listening():
        task = progress.add_task("training", total=loop.steps, completed=first, status="compiling")
        step = first
        while step < loop.steps and not stop.requested:
            with clock.measure("data_s"):
                batch = next(batches)
            with clock.measure("step_s"):
                state, metrics = run.step(state, batch, run.key)
                history += read(waiting, loop.max_skipped)
            waiting, step = metrics, step + 1
            if step % loop.log_every == 0:
                with clock.measure("step_s"):
                    history += read(waiting, loop.max_skipped)
                waiting = None
                values = average(history) | rates(clock, len(history) * loop.batch_size)
                history = []
                writer.write(step, "train", values)
                status = f"loss {values['loss']:.4f}, {values['clips_per_s']:.1f} clips/s"
                progress.update(task, status=status)
            if step % loop.eval_every == 0 or step == loop.steps:
                evaluation = run.evaluate(state)
                if evaluation:
                    writer.write(step, "eval", evaluation)
            if checkpoints.is_due(step) or step == loop.steps or stop.requested:
                with clock.measure("save_s"):
                    checkpoints.save(state, stream.get_state())
            progress.advance(task)
    read(waiting, loop.max_skipped)
    seconds = max(time.perf_counter() - start, 1e-9)
    return Summary(state, step == loop.steps, (step - first) * loop.batch_size / seconds, evaluation)


class StopRequest:
    """Turns SIGTERM into a flag that the loop looks at between two steps."""

    def __init__(self):
        self.requested = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles SIGTERM while the body runs; outside the main thread signals cannot be handled."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def request(signum: int, frame: Any) -> None:
            self.requested = True

        before = signal.signal(signal.SIGTERM, request)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def read(metrics: Metrics | None, max_skipped: int) -> list[dict[str, float]]:
    """Waits for the metrics of a step, if there was one. `UserError` after too many skipped updates."""
    if metrics is None:
        return []
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    if values["skipped_in_a_row"] >= max_skipped:
        raise UserError(
            f"training: {max_skipped} updates in a row had gradients that are not finite "
            "(lower optimizer.learning_rate, or look at the data)"
        )
    return [values]


def average(history: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each metric over the steps; counters keep their last value."""
    values = {name: float(np.mean([entry[name] for entry in history])) for name in history[0]}
    return values | {name: history[-1][name] for name in ("skipped", "skipped_in_a_row")}


def rates(clock: Stopwatch, clips: int) -> dict[str, float]:
    """Seconds of data wait, step and save since the last call, and crops per second."""
    seconds = {"data_s": 0.0, "step_s": 0.0, "save_s": 0.0} | clock.read()
    return {**seconds, "clips_per_s": clips / max(sum(seconds.values()), 1e-9)}


def check_space(config: TrainConfig, space: CoefficientSpace) -> None:
    """Raises `UserError` where the model's number of coefficients is not that of the data."""
    if config.model.coeff != space.size:
        raise UserError(
            f"model.coeff={config.model.coeff}, but {config.data.train} is in space {space.name!r} "
            f"with {space.size} coefficients"
        )


def write_settings(config: TrainConfig, workdir: Path) -> None:
    """Leaves config.json in the working folder. Raises `UserError` where it cannot be written."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "config.json").write_text(to_json(config), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{workdir}: cannot be written ({error.strerror})") from error


def report(summary: Summary) -> None:
    """One line at the end of a run."""
    step, skipped = int(summary.state.step), int(summary.state.skipped)
    scores = ", ".join(f"{name} {value:.4g}" for name, value in summary.evaluation.items())
    end = "finished" if summary.finished else "stopped and saved"
    console.print(f"{end} at step {step}: {summary.clips_per_s:.1f} clips/s, {skipped} skipped; {scores}")
