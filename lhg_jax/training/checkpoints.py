"""Checkpoints by orbax: the whole training state together with the place in the data."""

import os
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from lhg_jax.config import CheckpointConfig
from lhg_jax.errors import UserError
from lhg_jax.progress import warn
from lhg_jax.training.state import PyTree, TrainState

DataState = dict[str, Any]  # JSON


class Checkpoints:
    """Saves of one run in `workdir`/checkpoints; writing happens in the background."""

    def __init__(self, workdir: str | os.PathLike, config: CheckpointConfig):
        """Raises `UserError` where the folder cannot be made."""
        folder = Path(workdir, "checkpoints").resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be created ({error.strerror})") from error
        options = ocp.CheckpointManagerOptions(max_to_keep=config.keep, enable_async_checkpointing=True)
        self._every = config.every
        self._folder = folder
        self._manager = ocp.CheckpointManager(folder, options=options)

    def is_due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be saved."""
        return step % self._every == 0

    def save(self, state: TrainState, data: DataState) -> None:
        """Starts to save the state after `state.step` steps; returns when device memory has been copied."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(data))
        self._manager.save(step, args=args, force=True)

    def restore(self, like: TrainState) -> tuple[TrainState, DataState] | None:
        """The newest state that can be read, laid out as `like` (arrays or shapes); None if there is none.

        A damaged save is named in a warning and the one before it is tried. Raises `UserError` where no save
        fits.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target), data=ocp.args.JsonRestore())
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                restored = self._manager.restore(step, args=args)
                return restored["state"], restored["data"]
            except (ValueError, OSError, KeyError, TypeError) as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                warn(f"{self._folder / str(step)}: cannot be restored ({reason})")
        if steps:
            raise UserError(
                f"{self._folder}: no save fits this run (other model sizes? choose another --workdir)"
            )
        return None

    def close(self) -> None:
        """Waits for saves in progress."""
        self._manager.wait_until_finished()
        self._manager.close()


def restore_variables(workdir: str | os.PathLike, like: TrainState) -> tuple[PyTree, int]:
    """Variables for evaluation of a run's newest save, and its step. Raises `UserError` if there is none."""
    checkpoints = Checkpoints(workdir, CheckpointConfig())
    try:
        restored = checkpoints.restore(like)
    finally:
        checkpoints.close()
    if restored is None:
        raise UserError(f"{workdir}: no checkpoints here")
    return restored[0].eval_variables, int(restored[0].step)
