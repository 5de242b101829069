"""Command lines: a dataclass read by tyro, with the same kind of help in every command."""

import logging
import sys
from typing import Annotated, TypeVar

import tyro

import lhg_jax
from lhg_jax.util.progress import warn

T = TypeVar("T")
UNSET = tyro.conf.arg(help_behavior_hint="")  # prints no default: the text under the option says what happens
Maybe = Annotated[T | None, UNSET]  # an option that can be left out
Group = tyro.conf.OmitArgPrefixes[T]  # options of a group, without the group's name in front of theirs


def parse(options: type[T], program: str, description: str | None) -> T:
    """Reads the command line into `options`; `--help` and `--version` print and exit.

    Args:
      options: dataclass of a command; the text under a field is its help.
      program: how the command is called, e.g. `python -m lhg_jax.sample`.
      description: for the head of the help.
    """
    if sys.argv[1:] == ["--version"]:
        print(f"lhg_jax {lhg_jax.__version__}")
        sys.exit(0)
    return tyro.cli(options, prog=program, description=description, config=(tyro.conf.DisallowNone,))


class _Printer(logging.Handler):
    """Prints warnings as lines of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        warn(record.getMessage())


def print_warnings() -> None:
    """Prints what the package logs at WARNING and above, as `warning: ...`."""
    logger = logging.getLogger("lhg_jax")
    if not any(isinstance(handler, _Printer) for handler in logger.handlers):
        logger.addHandler(_Printer(logging.WARNING))
