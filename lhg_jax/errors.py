"""Errors that a user can act on, and the one place that turns them into a line and an exit code."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator


class UserError(Exception):
    """Something the user gave cannot be used. The message is one line: `WHAT: what is wrong (way out)`."""


class MissingExtraError(UserError):
    """A stage needs packages that are not installed."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs more packages: pip install '.[{extra}]' in the repository")
        self.what, self.extra = what, extra

    def __reduce__(self):
        return type(self), (self.what, self.extra)  # it crosses from worker processes


@contextlib.contextmanager
def about(path: str | os.PathLike) -> Iterator[None]:
    """Puts `path` in front of the message of a `UserError` raised by a stage that sees no paths."""
    try:
        yield
    except UserError as error:
        message = str(error)
        raise UserError(message if str(path) in message else f"{path}: {message}") from error


def run_cli(main: Callable[[], None]) -> None:
    """Runs an entry point; a `UserError` becomes one line on stderr and exit code 2, without traceback."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)
