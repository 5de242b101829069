"""Making clips, one file each, so that what is finished stays finished; on this machine or on Apache Beam."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from lhg_jax.data.schema import ClipInfo, Example, encode, load_protos
from lhg_jax.preparation.stage_clock import Seconds, add, clocked
from lhg_jax.util.atomic import replacing
from lhg_jax.util.beam import run_on_beam
from lhg_jax.util.errors import MissingExtraError, UserError
from lhg_jax.util.progress import StageTimes
from lhg_jax.util.workers import worker_environment


@runtime_checkable
class Job(Protocol):
    """A clip that can be made in another process: small, and picklable."""

    @property
    def uuid(self) -> str:
        """Name of the clip, unique in its data set."""

    @property
    def split(self) -> str:
        """Name of the split it belongs to."""

    @property
    def key(self) -> str:
        """A hash of everything that decides what is in the clip; names its file."""

    def make(self) -> tuple[Example, ClipInfo]:
        """The clip. Raises `UserError` where it cannot be used."""


def clip_path(folder: Path, key: str) -> Path:
    """File of a finished clip: the record that a shard will hold."""
    return folder / f"{key}.clip"


def reason_path(folder: Path, key: str) -> Path:
    """File that says why there is no clip."""
    return folder / f"{key}.reason"


def make_clip(job: Job, folder: Path) -> Seconds:
    """Makes a clip's file, unless it is there; of a clip that cannot be used, the file with the reason.

    Returns the seconds that its stages took. Raises `MissingExtraError`: that is not the clip's fault.
    """
    with clocked() as seconds:
        if not clip_path(folder, job.key).exists():
            _make(job, folder)
    return seconds


def _make(job: Job, folder: Path) -> None:
    try:
        example, info = job.make()
    except MissingExtraError:
        raise
    except UserError as error:
        with replacing(reason_path(folder, job.key)) as temporary:
            temporary.write_text(str(error), encoding="utf-8")
        return
    with replacing(clip_path(folder, job.key)) as temporary:
        temporary.write_bytes(encode(example, info))


def make_clips(jobs: Sequence[Job], folder: Path, workers: int) -> Seconds:
    """Makes clips with a progress bar, in worker processes if there are several; an error in one ends all.

    Returns the seconds of each stage, of all workers together.
    """
    seconds: Seconds = {}
    # While TFDS is imported it replaces Python's `import`, and the bar's own thread would stumble over that.
    load_protos()
    missing = [job for job in jobs if not clip_path(folder, job.key).exists()]
    with StageTimes().stage("clips", total=len(jobs)) as advance:
        for _ in range(len(jobs) - len(missing)):
            advance()
        finished = _in_processes if min(workers, len(missing)) > 1 else _in_order
        for of_clip in finished(missing, folder, workers):
            add(seconds, of_clip)
            advance()
    return seconds


def _in_order(jobs: Sequence[Job], folder: Path, _: int) -> Iterator[Seconds]:
    for job in jobs:
        yield make_clip(job, folder)


def _in_processes(jobs: Sequence[Job], folder: Path, workers: int) -> Iterator[Seconds]:
    context = multiprocessing.get_context("spawn")
    with worker_environment(), concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        try:
            for future in concurrent.futures.as_completed(
                [pool.submit(make_clip, job, folder) for job in jobs]
            ):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def make_clips_on_beam(jobs: Sequence[Job], folder: Path, runner: str, options: Sequence[str]) -> None:
    """Makes clips on Apache Beam. All its workers must see the data and `folder` under the same paths.

    Args:
      jobs: the clips.
      folder: for their files.
      runner, options: see `util.beam.run_on_beam`.

    Raises:
      MissingExtraError, UserError: see `util.beam.run_on_beam`.
    """
    run_on_beam(functools.partial(make_clip, folder=folder), jobs, runner, options)


def left_out_reason(job: Job, folder: Path) -> str | None:
    """Why there is no clip of a job that was run; None where there is one."""
    if clip_path(folder, job.key).exists():
        return None
    return reason_path(folder, job.key).read_text(encoding="utf-8")


def remove_clips(folder: Path) -> None:
    """Removes the files of all clips, when the shards hold them."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_if_empty(clips: Path, out: Path) -> None:
    """Leaves no folders behind where not one clip could be made."""
    if not any(clips.glob("[!.]*.clip")):
        shutil.rmtree(clips)
        with contextlib.suppress(OSError):  # it holds something else
            out.rmdir()
