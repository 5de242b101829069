"""`python -m lhg_jax`, or `lhg-jax`: lists the commands, and runs one of them."""

import difflib
import importlib
import sys
from typing import Any

import lhg_jax
from lhg_jax.util.errors import UserError, run_cli

COMMANDS = {
    "sample": "a speaker and a portrait in, a video of that person listening out",
    "live": "a portrait that listens while you talk, in the browser",
    "prepare": "conversations (simulated, ViCo, your own) into clips for training",
    "train": "train a listener on prepared clips",
    "predict": "a trained listener's motion, or videos, for a whole split of prepared clips",
    "evaluate": "score listener videos against the true ones, and write a report",
    "fit_bridge": "from the listener's coefficients to those of another renderer",
    "export": "a trained listener as SavedModel, StableHLO or ONNX",
    "doctor": "what this installation has, and what is missing",
}


def usage() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        (
            "usage: lhg-jax COMMAND [options]    (the same as python -m lhg_jax.COMMAND)",
            "",
            *(f"  {name:{width}}  {what}" for name, what in COMMANDS.items()),
            "",
            "lhg-jax COMMAND --help lists the options of a command, lhg-jax --version prints the version.",
        )
    )


def command_module(name: str) -> Any:
    """The module of a command, with its `Options` and `main`: a file, or the `__main__` of a folder."""
    module = importlib.import_module(f"lhg_jax.{name}")
    return importlib.import_module(f"{module.__name__}.__main__") if hasattr(module, "__path__") else module


def main() -> None:
    """Runs the command that is named first; prints the list where none is."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"lhg_jax {lhg_jax.__version__}")
    elif name in COMMANDS:
        sys.argv = [f"lhg-jax {name}", *arguments]
        command_module(name).main()
    else:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"perhaps you meant {near[0]!r}" if near else f"known: {', '.join(COMMANDS)}"
        raise UserError(f"{name}: no such command ({hint})")


def run() -> None:
    """The console script `lhg-jax`."""
    run_cli(main)


if __name__ == "__main__":
    run()
