"""Opening media files with PyAV: one clock, one kind of error, no chatter on the terminal."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lhg_jax.media.file_slice import FileSlice
from lhg_jax.util.errors import MissingExtraError, UserError

try:
    import av
    import av.logging
except ImportError:  # pragma: no cover
    raise MissingExtraError("reading and writing media", "pipeline") from None

# libav would write to stderr; what matters to the user arrives as an exception. None, not a high level: any
# level logs through Python, and a decoder thread then waits for the interpreter that waits for it to close.
av.logging.set_level(None)


@contextlib.contextmanager
def user_errors(path: str | os.PathLike, verb: str = "read") -> Iterator[None]:
    """Turns what libav and the operating system raise into a `UserError` that names `path`."""
    try:
        yield
    except av.error.InvalidDataError:
        raise UserError(f"{path}: not a media file, or damaged") from None
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(f"{path}: cannot be {'written' if verb == 'write' else 'read'} ({reason})") from error


def require_file(path: str | os.PathLike) -> None:
    """Raises `UserError` unless `path` is a file with something in it."""
    if isinstance(path, FileSlice):
        require_file(path.archive)
        if path.size == 0:
            raise UserError(f"{path}: is empty (0 bytes)")
        return
    with user_errors(path):
        if not Path(path).exists():
            raise UserError(f"{path}: no such file")
        if not Path(path).is_file():
            raise UserError(f"{path}: is a folder or a device, not a media file")
        if Path(path).stat().st_size == 0:
            raise UserError(f"{path}: is empty (0 bytes)")


def url(path: str | os.PathLike) -> str:
    """A name that libav takes for a local file whatever characters it holds ('a:b.mp4' is no protocol)."""
    if isinstance(path, FileSlice):
        return path.url
    return f"file:{os.fspath(path)}"


@contextlib.contextmanager
def open_input(path: str | os.PathLike) -> Iterator[Any]:
    """Opens a media file for reading; yields the PyAV container. Raises `UserError`."""
    require_file(path)
    with user_errors(path), av.open(url(path), metadata_errors="replace") as container:
        yield container


def video_stream(container: Any) -> Any | None:
    """The video stream that players show, or None; cover pictures and thumbnails are none.

    One that cannot be decoded is chosen only where all are of that kind.
    """
    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    stream = _preferred([s for s in streams if s.codec_context is not None] or streams)
    if stream is not None:
        stream.thread_type = "AUTO"
    return stream


def audio_stream(container: Any) -> Any | None:
    """The audio stream that players play, of those that can be decoded, or None."""
    return _preferred([s for s in container.streams.audio if s.codec_context is not None])


def _preferred(streams: list[Any]) -> Any | None:
    """The first stream that the file marks as its default, else the first."""
    marked = [s for s in streams if s.disposition & av.stream.Disposition.default]
    return next(iter(marked or streams), None)
