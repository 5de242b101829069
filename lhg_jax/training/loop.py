"""The training loop: data in, jitted steps, logs, evaluations and saves, until the last step or SIGTERM."""

import dataclasses
import time
from pathlib import Path

import jax

from lhg_jax.config import TrainConfig
from lhg_jax.data.pipeline import TrainStream, to_devices
from lhg_jax.data.records import open_source
from lhg_jax.training.checkpoints import Checkpoints
from lhg_jax.training.distributed import StopRequest
from lhg_jax.training.identity import check_clips, check_same_run, run_identity, write_settings
from lhg_jax.training.listener_file import NAME, ListenerFile
from lhg_jax.training.logs import NoWriter, StepLog, open_writer, progress_bar
from lhg_jax.training.setup import Run, check_best
from lhg_jax.training.sharding import batch_sharding
from lhg_jax.training.state import TrainState
from lhg_jax.training.visualise import Samples
from lhg_jax.util.progress import console


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
      state: after the last step taken.
      finished: False where SIGTERM ended it before its last step.
      clips_per_s: crops trained on per second of this process's life in the loop.
      seconds: where that time went: data_s, step_s, eval_s, save_s; what is missing to all_s is the rest.
      evaluation: metrics of the last evaluation, empty without one.
    """

    state: TrainState
    finished: bool
    clips_per_s: float
    seconds: dict[str, float]
    evaluation: dict[str, float]


def train(config: TrainConfig, workdir: Path) -> Summary:
    """Runs `config` from its newest save in `workdir`, or from scratch where there is none.

    With several processes (`processes.connect`) every one of them calls it, with a `workdir` that all see.
    Raises `UserError` for data or settings that do not fit together, and after `train.max_skipped` updates in
    a row without a finite gradient.
    """
    source = open_source(config.data.train)
    held_out = open_source(config.data.evaluation) if config.data.evaluation else None
    check_clips(config, source, held_out)
    check_best(config)
    run = Run(config, source.space, held_out)
    identity = run_identity(config, source, held_out)
    check_same_run(identity, workdir)
    stream = TrainStream(
        source,
        config.data,
        config.augment,
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        process=jax.process_index(),
        processes=jax.process_count(),
    )
    checkpoints = Checkpoints(workdir, config.checkpoint)
    try:
        listener = ListenerFile(workdir, config, run.model, source, run.mesh)
        if (restored := checkpoints.restore(run.abstract_state(source))) is not None:
            state, place = restored
            stream.set_state(place)
        else:
            state = run.fresh_state(source)
        if int(state.step) < config.train.steps:  # a finished run is left as it is
            write_settings(config, identity, workdir)
        log = StepLog(
            batch_size=config.train.batch_size,
            max_skipped=config.train.max_skipped,
            flops=run.flops(source) if run.peak() else 0.0,
            peak=run.peak(),
        )
        writer = open_writer(workdir, int(state.step))
        try:
            samples = Samples(workdir, writer)
            return run_steps(run, state, stream, checkpoints, listener, log, writer, samples)
        finally:
            writer.close()
    finally:
        checkpoints.close()


def run_steps(
    run: Run,
    state: TrainState,
    stream: TrainStream,
    checkpoints: Checkpoints,
    listener: ListenerFile,
    log: StepLog,
    writer: NoWriter,
    samples: Samples,
) -> Summary:
    """Takes the steps that are left."""
    loop, stop = run.config.train, StopRequest()
    first = step = int(state.step)
    start, stopping, evaluation = time.perf_counter(), False, {}
    batches = to_devices(stream, batch_sharding(run.mesh))
    with progress_bar() as progress, stop.listening(), samples:
        task = progress.add_task("training", total=loop.steps, completed=first, status="compiling")
        while step < loop.steps and not stopping:
            with log.measure("data_s"):
                batch = next(batches)
            with log.measure("step_s"):
                state, metrics = run.step(state, batch, run.key)
                log.add(metrics)
            step += 1
            last, stopping, scores = step == loop.steps, stop.agreed(step), {}
            if step % loop.log_every == 0:
                values = log.line()
                writer.write(step, "train", values)
                status = f"loss {values['loss']:.4f}, {values['clips_per_s']:.1f} clips/s"
                progress.update(task, status=status)
            if run.evaluation and (last or step % loop.eval_every == 0):
                with log.measure("eval_s"):
                    evaluation = scores = run.evaluation(state)
                writer.write(step, "eval", scores)
            if run.evaluation and loop.sample_every and step % loop.sample_every == 0:
                with log.measure("eval_s"):
                    predicted, target = run.evaluation.sample(state)
                    samples.show(step, predicted, target, run.evaluation.space)
            if checkpoints.is_due(step) or last or stopping:
                with log.measure("save_s"):
                    if checkpoints.is_wanted(scores):
                        listener.write(state)  # first: a run killed in between saves again, but not this
                    checkpoints.save(state, stream.get_state(), scores)
            progress.advance(task)
        log.add(None)
    seconds = dict(log.total_s) | {"all_s": max(time.perf_counter() - start, 1e-9)}
    clips_per_s = (step - first) * loop.batch_size / seconds["all_s"]
    return Summary(state, step == loop.steps, clips_per_s, seconds, evaluation)


def report(summary: Summary, workdir: Path) -> None:
    """How a run ended and where its listener is, by process 0."""
    if jax.process_index():
        return
    step, skipped = int(summary.state.step), int(summary.state.skipped)
    scores = ", ".join(f"{name} {value:.4g}" for name, value in summary.evaluation.items())
    end = "finished" if summary.finished else "stopped and saved"
    shares = ", ".join(
        f"{name.removesuffix('_s')} {value / summary.seconds['all_s']:.1%}"
        for name, value in summary.seconds.items()
        if name != "all_s"
    )
    line = f"{end} at step {step}: {summary.clips_per_s:.1f} clips/s ({shares}), {skipped} skipped"
    console.print("; ".join(filter(None, [line, scores])))
    if (workdir / NAME).exists():  # a run that stops before its first evaluation has no best one
        console.print(f"listener: {workdir / NAME}")
