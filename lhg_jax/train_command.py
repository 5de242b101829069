"""The command line of `train`: a config by file or name, dotted overrides, help without a config."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import lhg_jax
from lhg_jax.config import LossConfig, Processes, TrainConfig, load_config, packaged_configs
from lhg_jax.losses import REGISTRIES, find_loss, loss_options
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import say

PROGRAM = "python -m lhg_jax.train"


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
    args = sys.argv[1:] if args is None else args
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default=None)
    parser.add_argument("--evaluate-only", action="store_true")  # tyro below takes no flags without a value
    known, rest = parser.parse_known_args(args)
    if "--version" in rest:
        print(f"lhg_jax {lhg_jax.__version__}")
        sys.exit(0)
    if known.config is None and {"-h", "--help"} & set(rest):
        print(general_help())
        sys.exit(0)
    if known.config is None:
        raise UserError(f"--config is missing (a file, or one of {', '.join(packaged_configs())})")
    command = _parse(load_config(known.config), rest)
    return dataclasses.replace(command, evaluate_only=known.evaluate_only)


def general_help() -> str:
    """What can be said before a config is chosen."""
    configs = packaged_configs()
    width = max(map(len, configs))
    lines = (
        f"usage: {PROGRAM} --config FILE|NAME --workdir DIR [--config.SECTION.KEY=VALUE ...]",
        "",
        "Trains a listener; continues from the working folder's newest checkpoint where it has one.",
        "",
        "  --config FILE|NAME     settings of the run: a Python file, or one of those below",
        "  --workdir DIR          folder for checkpoints, metrics.jsonl and listener.safetensors",
        "  --config.train.steps=N and the like: any value of the config; all of them are listed by",
        f"                         {PROGRAM} --config NAME --help",
        "  --evaluate-only        score the newest checkpoint on the held-out clips, and train nothing",
        "  --coordinator, --num-processes, --process-id, --detect, --timeout-s: several processes as one run",
        "                         (docs/training.md)",
        "  --version              print the version",
        "",
        "configs of the package:",
        *(f"  {name:{width}}  {shorten(what, 80, placeholder=' ...')}" for name, what in configs.items()),
        "",
        "A first try on two CPU cores, some minutes (docs/training.md has more):",
        "  python -m lhg_jax.prepare --source synthetic --hours 0.1 --split train --out out/synthetic/train",
        "  python -m lhg_jax.prepare --source synthetic --hours 0.02 --split valid --out out/synthetic/valid",
        f"  {PROGRAM} --config demo --workdir out/try --config.train.steps=60 \\",
        "      --config.optimizer.warmup_steps=10 --config.train.eval_every=30",
    )
    return "\n".join(lines)


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
