"""What makes a run the run it is, and the checks that need it: clips that go together, resuming."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from lhg_jax.config import TrainConfig, to_json
from lhg_jax.contract import RunIdentity, require_same
from lhg_jax.data.joined import open_sources
from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

SETTINGS, IDENTITY = "config.json", "identity.json"

# May change when a run is continued: how long it is, what it logs, what it saves, what it runs on. So may the
# place of its clips, whose contents are compared, and the weights it started from, which are in the save.
FREE = (
    "train.steps",
    "train.log_every",
    "train.eval_every",
    "train.sample_every",
    "train.max_skipped",
    "train.fsdp",
    "train.remat",
    "train.steps_per_call",
    "data.train",
    "data.evaluation",
    "data.probe_clips",
    "data.eval_batch_size",
    "data.threads",
    "data.workers",
    "data.prefetch",
    "checkpoint",
    "start",
)


def run_identity(
    config: TrainConfig, train: RecordSource, held_out: RecordSource | None, **more: str
) -> RunIdentity:
    """The settings, the clips and what `more` there is that decide what a run computes."""
    settings = {name: value for name, value in flatten(dataclasses.asdict(config)) if not is_free(name)}
    settings["model"] = type(config.model).__name__
    settings["training clips"] = train.fingerprint
    settings["held-out clips"] = held_out.fingerprint if held_out else "none"
    settings |= more
    return RunIdentity(json.loads(json.dumps(settings)))


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as (dotted name, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def is_free(name: str) -> bool:
    """Whether a setting may change when a run is continued."""
    return any(name == free or name.startswith(f"{free}.") for free in FREE)


def check_clips(config: TrainConfig, train: RecordSource, held_out: RecordSource | None) -> None:
    """Raises `UserError` where the clips do not fit the model, or the held-out ones the others."""
    if config.model.coeff != train.space.size:
        raise UserError(
            f"model.coeff={config.model.coeff}, but {config.data.train} is in space {train.space.name!r} "
            f"with {train.space.size} coefficients"
        )
    if held_out is not None:
        way_out = "prepare both alike, or --config.data.evaluation= for none"
        require_same(config.data.train, train.features, config.data.evaluation, held_out.features, way_out)


def check_same_run(identity: RunIdentity, workdir: Path) -> None:
    """Raises `UserError` naming each setting that differs from those of the run that `workdir` holds.

    A folder without a save is free. A run from before there were identities is compared by its config.json,
    without the clips.
    """
    if not _holds_saves(workdir) or (before := read_identity(workdir)) is None:
        return
    known = {name: identity.settings[name] for name in before.settings if name in identity.settings}
    new = identity if (workdir / IDENTITY).exists() else RunIdentity(known)
    if changes := new.changes_from(before):
        raise UserError(
            f"{workdir}: holds another run: {changes} (choose another --workdir, or give the old settings to "
            "continue)"
        )


def check_workdir(config: TrainConfig, workdir: Path) -> None:
    """`check_same_run` for settings alone, e.g. of a finished run whose result is about to be kept."""
    held_out = open_source(config.data.evaluation) if config.data.evaluation else None
    check_same_run(run_identity(config, open_sources(config.data.train), held_out), workdir)


def _holds_saves(workdir: Path) -> bool:
    return any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*"))


def read_identity(workdir: Path) -> RunIdentity | None:
    """Of the run in a working folder; None where there is none. Raises `UserError` where it is damaged."""
    path = next((path for name in (IDENTITY, SETTINGS) if (path := workdir / name).is_file()), None)
    if path is None:
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if path.name == SETTINGS:
            settings = {name: value for name, value in flatten(settings) if not is_free(name)}
        return RunIdentity(dict(settings))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}; choose another --workdir)") from error


def write_settings(config: TrainConfig, identity: RunIdentity, workdir: Path) -> None:
    """Leaves config.json and identity.json in the working folder of a run that trains, by process 0."""
    if jax.process_index() == 0:
        for name, text in ((SETTINGS, to_json(config)), (IDENTITY, json.dumps(identity.settings, indent=2))):
            with replacing(workdir / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
