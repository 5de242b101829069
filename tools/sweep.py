"""Trains a small grid of settings and seeds, one after the other or as a SLURM array, and makes one table.

  python tools/sweep.py configs/lhg_base.py --vary loss.contrastive=paper,infonce,siglip --seeds 0 1 2 \
      --out out/losses --override train.steps=5000

A file defines `config`, or a dictionary `configs` of several. All settings are checked before the first run.
Finished runs are kept, interrupted ones go on from their newest save; where any failed, the sweep ends with
code 1. `{out}` and `{seed}` in `start.listener` name the run of a row that comes before in the file. In a
SLURM array give every task `--shard $SLURM_ARRAY_TASK_ID --shards N`, and call once more with `--table-only`
at the end.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tyro
from sweep_table import RESULT, read_metrics, write_result, write_table

from lhg_jax.config import TrainConfig, load_config, run_config, to_json
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.train_command import with_overrides
from lhg_jax.util.compilation_cache import use_compilation_cache
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import say, warn

LOADING = ("threads", "workers", "prefetch")  # settings of `data` that change no number


@dataclasses.dataclass(frozen=True)
class Options:
    """Which runs, and where."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Settings: files of configs/ or configs/grids/, or their names."""
    out: Path
    """A folder for each run, table.md and table.csv."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each setting is trained once with each."""
    vary: tuple[str, ...] = ()
    """KEY=VALUE,VALUE,...: every setting with each of the values; several of these are multiplied."""
    override: tuple[str, ...] = ()
    """KEY=VALUE for all runs, e.g. train.steps=500."""
    metrics: tuple[str, ...] = ()
    """Columns of the table; empty: all that an evaluation reports."""
    only: tuple[str, ...] = ()
    """Rows to train and to check; empty: all."""
    shard: int = 0
    """This call's share of the runs: number `shard`, `shard + shards`, ..."""
    shards: int = 1
    """Number of calls that share the runs."""
    table_only: bool = False
    """Train nothing, write the table of what is there."""


def settings(options: Options) -> dict[str, TrainConfig]:
    """Name of a row -> its settings. Raises `UserError` for files, keys or values that make no sense."""
    configs: dict[str, TrainConfig] = {}
    for path in options.files:
        configs |= run_config(path).get("configs") or {path.stem: load_config(path)}
    choices = [
        [f"{key}={value}" for value in values.split(",")] for key, _, values in map(_split, options.vary)
    ]
    rows = {}
    for (name, config), chosen in itertools.product(configs.items(), itertools.product(*choices)):
        row = " ".join([name, *chosen])
        rows[row] = with_overrides(config, [*options.override, *chosen])
    return rows


def chosen_rows(rows: Mapping[str, TrainConfig], only: Sequence[str]) -> Sequence[str]:
    """Names of the rows to train, in their own order. Raises `UserError` for a row that there is not."""
    if unknown := sorted({*only} - {*rows}):
        raise UserError(f"--only: no row {', '.join(unknown)} (there are {', '.join(rows)})")
    return [name for name in rows if not only or name in only]


def check(rows: Mapping[str, TrainConfig], options: Options) -> None:
    """Raises `UserError` naming every row that could not be trained, or whose results are other settings'."""
    problems = []
    for name, config in rows.items():
        try:
            _check_trainable(config)
            for seed in options.seeds:
                _check_finished(of_run(config, seed, options.out), folder(options.out, name, seed))
        except UserError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise UserError(f"{len(problems)} of {len(rows)} settings cannot be trained: " + "; ".join(problems))


def _check_trainable(config: TrainConfig) -> None:
    """Raises `UserError` for clips or settings that cannot be used; a head's trunk may be yet to come."""
    from lhg_jax.data.joined import open_sources
    from lhg_jax.training.loop import open_setup

    if isinstance(config.model, FlowHeadConfig):
        open_sources(config.data.train)
    else:
        open_setup(config)


def _check_finished(config: TrainConfig, workdir: Path) -> None:
    """Raises `UserError` where a result is that of other settings or clips, which its name does not say."""
    if not (workdir / RESULT).exists() or not (workdir / "config.json").exists():
        return
    from lhg_jax.training.head_stage import check_head_workdir
    from lhg_jax.training.identity import check_workdir, flatten

    now = dict(flatten(json.loads(to_json(config))))
    before = dict(flatten(json.loads((workdir / "config.json").read_text(encoding="utf-8"))))
    changed = [
        f"{key} was {before.get(key)} and is now {now.get(key)}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key) and key not in {f"data.{name}" for name in LOADING}
    ]
    if changed:
        raise UserError(
            f"{workdir}: finished with other settings: {', '.join(changed)} (choose another --out)"
        )
    check = check_head_workdir if isinstance(config.model, FlowHeadConfig) else check_workdir
    check(config, workdir)


def of_run(config: TrainConfig, seed: int, out: Path) -> TrainConfig:
    """The settings of one run: its seed, and the listener of another row that it starts from."""
    listener = config.start.listener.replace("{out}", str(out)).replace("{seed}", str(seed))
    start = dataclasses.replace(config.start, listener=listener)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed), start=start)


def folder(out: Path, name: str, seed: int) -> Path:
    """Where a run is."""
    return out / name.replace(" ", ",") / f"seed{seed}"


def run(name: str, config: TrainConfig, seed: int, out: Path) -> int:
    """One run, unless it is finished already; the number of the signal that stopped it, or 0."""
    from lhg_jax.sample_clips import draw_frames
    from lhg_jax.training.head_stage import train_head
    from lhg_jax.training.loop import train

    workdir, config = folder(out, name, seed), of_run(config, seed, out)
    if (workdir / RESULT).exists():
        return 0  # of these settings: `check`
    say(f"{name}, seed {seed}")
    summary = (train_head if isinstance(config.model, FlowHeadConfig) else train)(
        config, workdir, draw_frames
    )
    if summary.finished:
        scores, minutes = read_metrics(workdir)
        write_result(workdir, name, seed, scores, minutes)
    return summary.signal


def _split(item: str) -> tuple[str, str, str]:
    key, equals, values = item.partition("=")
    if not (key and equals and values):
        raise UserError(f"--vary {item}: not KEY=VALUE,VALUE")
    return key, equals, values


def losses_differ(rows: Mapping[str, TrainConfig]) -> bool:
    """Whether the values of the losses themselves mean other things from row to row."""
    return len({json.dumps(dataclasses.asdict(config.loss), sort_keys=True) for config in rows.values()}) > 1


def train_all(rows: Mapping[str, TrainConfig], options: Options) -> tuple[dict[str, str], int]:
    """This call's share of the runs; what failed and why, and the signal that ended it."""
    runs = [(name, seed) for seed in options.seeds for name in rows]  # every row once, then once more
    failed: dict[str, str] = {}
    for name, seed in runs[options.shard :: options.shards]:
        try:
            if number := run(name, rows[name], seed, options.out):
                return failed, number
        except UserError as error:  # of this run alone
            warn(f"{name}, seed {seed}: {error}")
            failed[f"{name}, seed {seed}"] = str(error)
    return failed, 0


def main(options: Options) -> None:
    if not 0 <= options.shard < options.shards:
        raise UserError(f"--shard {options.shard} is not in [0, --shards {options.shards})")
    use_compilation_cache()
    rows = settings(options)
    failed, number = {}, 0
    if not options.table_only:
        chosen = {name: rows[name] for name in chosen_rows(rows, options.only)}
        check(chosen, options)
        failed, number = train_all(chosen, options)
    options.out.mkdir(parents=True, exist_ok=True)
    write_table(options.out, list(rows), options.metrics, failed, hide_losses=losses_differ(rows))
    say(f"{options.out}/table.md, table.csv")
    if number:
        say("stopped; the same command goes on from there")
        sys.exit(128 + number)
    if failed:
        print(f"error: {len(failed)} runs failed (see {options.out}/table.md)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
