"""What `train` answers before it reads a config: help, version, what is missing. No import of JAX."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import lhg_jax
from lhg_jax.config_files import find_config, packaged_configs
from lhg_jax.util.errors import UserError

PROGRAM = "python -m lhg_jax.train"


@dataclasses.dataclass(frozen=True)
class FirstLook:
    """The config's file, and the words that its values decide about."""

    config: Path
    rest: list[str]
    evaluate_only: bool = False


def first_look(args: Sequence[str]) -> FirstLook:
    """Finds the config; prints help or version, and exits, where none is needed.

    Raises `UserError` where no config is named, or there is no such file.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default=None)
    parser.add_argument("--evaluate-only", action="store_true")  # tyro, later, takes no flags without a value
    known, rest = parser.parse_known_args(args)
    if "--version" in rest:
        print(f"lhg_jax {lhg_jax.__version__}")
        sys.exit(0)
    if known.config is None and {"-h", "--help"} & set(rest):
        print(general_help())
        sys.exit(0)
    if known.config is None:
        raise UserError(f"--config is missing (a file, or one of {', '.join(packaged_configs())})")
    return FirstLook(find_config(known.config), rest, known.evaluate_only)


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
