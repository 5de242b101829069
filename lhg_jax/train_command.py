"""The command line of `train`: a config by file or name, dotted overrides."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lhg_jax.config import LossConfig, Processes, TrainConfig, load_config
from lhg_jax.losses import REGISTRIES, find_loss, loss_options
from lhg_jax.train_help import PROGRAM, first_look
from lhg_jax.util.progress import say


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What `python -m lhg_jax.train` was asked to do."""

    config: TrainConfig
    workdir: Path
    processes: Processes
    evaluate_only: bool = False


def parse_command_line(args: Sequence[str] | None = None) -> CommandLine:
    """Reads `--config FILE --workdir DIR [--config.SECTION.KEY=VALUE ...]`.

    Unknown keys and values of a wrong type end the process with code 2 and a message that names the key.
    """
    look = first_look(sys.argv[1:] if args is None else args)
    command = _parse(load_config(look.config), look.rest)
    return dataclasses.replace(command, evaluate_only=look.evaluate_only)


def with_overrides(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """`config` with `SECTION.KEY=VALUE` changes; bad ones end the process as `parse_command_line` says."""
    return _parse(config, ["--workdir", ".", *(f"--config.{item}" for item in overrides)]).config


def _parse(defaults: TrainConfig, args: Sequence[str]) -> CommandLine:
    import tyro  # only the command line needs it

    defaults, alone = with_loss_options(defaults, args), Processes()

    def command_line(
        *,
        workdir: Path,
        config: TrainConfig = defaults,
        processes: tyro.conf.OmitArgPrefixes[Processes] = alone,
    ) -> CommandLine:
        """Trains a listener; continues from the working folder's newest checkpoint where it has one.

        With --evaluate-only: scores that checkpoint on the held-out clips, and trains nothing.

        Args:
            workdir: Folder for checkpoints, metrics.jsonl and the exact settings.
            config: Overrides of the values in the --config file.
            processes: How several processes find each other.
        """
        return CommandLine(config, workdir, processes)

    markers = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
    return tyro.cli(command_line, args=args, config=markers, prog=PROGRAM)


def with_loss_options(config: TrainConfig, args: Sequence[str]) -> TrainConfig:
    """`config` with all options of the losses that it and `args` choose, so that each has a dotted name.

    Options of a loss that `args` replace by another one go, with a line that says so. Raises `UserError` for
    a loss that does not exist.
    """
    loss = config.loss
    for kind in REGISTRIES:
        before, own = getattr(loss, kind), getattr(loss, f"{kind}_options")
        name = _value_of(f"--config.loss.{kind}", args) or before
        options = {option: float(value) for option, value in loss_options(find_loss(kind, name)).items()}
        if name == before:
            options |= own
        elif own:
            say(f"loss.{kind}={name}: the options of {before!r} ({', '.join(own)}) are left out")
        loss = _replace(loss, f"{kind}_options", options)
    return dataclasses.replace(config, loss=loss)


def _replace(loss: LossConfig, name: str, value: Any) -> LossConfig:
    return dataclasses.replace(loss, **{name: value})


def _value_of(flag: str, args: Sequence[str]) -> str | None:
    """The value that `args` give `flag`, by `=` or as the next word; the last one counts."""
    found = None
    for word, after in zip(args, [*args[1:], ""], strict=True):
        if word.startswith(f"{flag}="):
            found = word.partition("=")[2]
        elif word == flag:
            found = after
    return found
