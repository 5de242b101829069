"""Many clips: one function for each, here or on Apache Beam; what is finished is not made again."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lhg_jax.draw_options import DrawOptions
from lhg_jax.pipeline.core import Pipeline
from lhg_jax.pipeline.edit import MotionEdit
from lhg_jax.pipeline.request import Request, make
from lhg_jax.util.atomic import replacing
from lhg_jax.util.beam import run_on_beam
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a `Pipeline` is made of, as a value that travels to another process."""

    checkpoint: Path | None = None
    renderer: str = "mesh"
    renderer_weights: Path | None = None
    renderer_fps: float | None = None
    bridge: Path | None = None
    paste: str = "full"
    restore: str = "none"
    restore_weights: Path | None = None
    tracker: str = "dlib"
    tracker_weights: Path | None = None
    asr: str = "pocketsphinx"
    asr_model: Path | None = None
    language: str | None = None
    word_encoder: Path | None = None
    face: int | None = None
    size: int = 1920

    def open(self, **shown: Any) -> Pipeline:
        """The pipeline; `shown` is its `progress` or `stages`."""
        return Pipeline(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)}, **shown
        )


@functools.lru_cache(maxsize=1)
def open_once(settings: Settings) -> Pipeline:
    """The pipeline of a worker, which makes many clips."""
    return settings.open()


def make_row(settings: Settings, edit: MotionEdit, drawing: DrawOptions, request: Request) -> None:
    """Makes one clip in a worker; of a clip that cannot be made, the file with the reason."""
    failure = reason_path(request)
    failure.unlink(missing_ok=True)
    if is_made(request, drawing.samples):
        return
    try:
        make(open_once(settings), request, edit, drawing)
    except Exception as error:  # one odd row must not end the others
        with replacing(failure) as temporary:
            temporary.write_text(reason(error), encoding="utf-8")


def is_made(request: Request, samples: int) -> bool:
    """Whether all videos, or pictures, of a request are there."""
    return all(path.exists() for one in request.numbered(samples) for path in one.drawn)


def make_on_beam(
    make: Callable[[Request], None],
    requests: Sequence[Request],
    samples: int,
    runner: str,
    options: Sequence[str],
) -> list[tuple[Request, str]]:
    """Makes clips on Apache Beam; returns those that failed, and why. All workers must see the same paths.

    Args:
      make: `make_row` of everything but the request.
      requests: the rows.
      samples: listeners of each.
      runner, options: see `util.beam.run_on_beam`.
    """
    run_on_beam(make, requests, runner, options)
    failed = []
    for request in requests:
        failure = reason_path(request)
        if not is_made(request, samples):
            failed.append((request, failure.read_text(encoding="utf-8") if failure.exists() else "not made"))
        failure.unlink(missing_ok=True)
    return failed


def reason(error: Exception) -> str:
    """Why a clip could not be made, in one line."""
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {error} (alone, it tells where)"


def reason_path(request: Request) -> Path:
    """File beside an output that says why there is none."""
    return request.final.with_name(f".{request.final.name}.reason")
