"""`python -m lhg_jax.prepare --source synthetic --hours 2 --out DIR`: clips -> a folder that training reads.

Interrupted preparations go on where they stopped: finished shards are not made again.
"""

import dataclasses
import functools
import multiprocessing
import os
from pathlib import Path
from typing import Literal

import tyro

from lhg_jax.errors import UserError, run_cli
from lhg_jax.progress import StageTimes, console
from lhg_jax.workers import worker_environment

CLIPS_PER_SHARD = 16


@dataclasses.dataclass(frozen=True)
class Options:
    """Prepares clips for training: the speaker's features and both people's motion, in ArrayRecord shards."""

    out: Path
    """Folder for the shards; created where it does not exist."""
    source: Literal["synthetic"] = "synthetic"
    """Where clips come from: `synthetic` dyads need no data."""
    hours: float = 2.0
    """Length of all clips together, about, > 0."""
    seed: int = 0
    """Of the simulator, >= 0."""
    split: Literal["train", "valid", "test"] = "train"
    """No two splits share a dyad."""
    workers: int = 0
    """Processes; 0: one for each core."""


def prepare(options: Options) -> None:
    """Makes the shards that are missing, then the metadata. Raises `UserError` for options without sense."""
    from lhg_jax.data.records import describe_shards, write_metadata
    from lhg_jax.data.synthetic import dyads_for_hours, split_seed
    from lhg_jax.motion import LANDMARK

    if options.hours <= 0 or options.seed < 0 or options.workers < 0:
        raise UserError("prepare: --hours must be positive, --seed and --workers not negative")
    seed, count = split_seed(options.seed, options.split), dyads_for_hours(options.hours)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{options.out}: cannot be created ({error.strerror})") from error
    jobs = [range(first, min(first + CLIPS_PER_SHARD, count)) for first in range(0, count, CLIPS_PER_SHARD)]
    # Names say seed and clips, so a folder that holds another set is never taken for this one.
    names = [f"synthetic-{seed}-{job.start:06d}-{job.stop:06d}.array_record" for job in jobs]
    missing = [
        (options.out / name, job)
        for name, job in zip(names, jobs, strict=True)
        if not (options.out / name).exists()
    ]
    make_shards(missing, seed, options.workers or os.cpu_count() or 1, done=len(jobs) - len(missing))
    metadata = describe_shards(options.out, names, space=LANDMARK, source="synthetic", seed=seed)
    write_metadata(options.out, metadata)
    console.print(f"{options.out}: {count} clips, {metadata.hours:.2f} hours")


def make_shards(jobs: list[tuple[Path, range]], seed: int, workers: int, done: int) -> None:
    """Makes the shards in worker processes; `done` of them existed before."""
    times = StageTimes()
    with times.stage("shards", total=len(jobs) + done) as advance:
        for _ in range(done):
            advance()
        if not jobs:
            return
        context = multiprocessing.get_context("spawn")
        with worker_environment(), context.Pool(min(workers, len(jobs))) as pool:
            for _ in pool.imap_unordered(functools.partial(make_shard, seed), jobs):
                advance()


def make_shard(seed: int, job: tuple[Path, range]) -> None:
    """Synthesises the dyads of one shard and writes it (in a worker)."""
    from lhg_jax.data.records import write_shard
    from lhg_jax.data.schema import make_example
    from lhg_jax.data.synthetic import synthesise

    path, indices = job
    encoder = word_encoder()
    dyads = (synthesise(seed, index) for index in indices)
    write_shard(path, ((dyad.uuid, make_example(dyad, encoder)) for dyad in dyads))


@functools.cache
def word_encoder():
    """The word encoder of this process, loaded once."""
    from lhg_jax.speech.bert import BertEncoder

    return BertEncoder.load(None)


def main() -> None:
    """Parses the command line and prepares."""
    prepare(tyro.cli(Options, prog="python -m lhg_jax.prepare", description=__doc__))


if __name__ == "__main__":
    run_cli(main)
