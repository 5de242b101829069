"""Checkpoints by orbax: the whole training state together with the place in the data."""

import math
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from lhg_jax.config import CheckpointConfig
from lhg_jax.training.distributed import all_agree
from lhg_jax.training.state import TrainState
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import warn

DataState = dict[str, Any]  # JSON


class Checkpoints:
    """Saves of one run in `workdir`/checkpoints; writing happens in the background, in all processes."""

    def __init__(self, workdir: str | os.PathLike, config: CheckpointConfig):
        """Raises `UserError` where the folder cannot be made."""
        folder = Path(workdir, "checkpoints").resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be created ({error.strerror})") from error
        self._config, self._folder = config, folder
        self._damaged: set[int] = set()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._kept(),
            best_fn=self._value if config.best else None,
            best_mode="min" if config.best_is == "lowest" else "max",
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,  # what a killed run left half written
        )
        self._manager = ocp.CheckpointManager(folder, options=options)

    def should_save(self, step: int) -> bool:
        """Whether the state after `step` steps is to be saved."""
        return step % self._config.every == 0

    def is_best(self, scores: Mapping[str, float]) -> bool:
        """Whether a state with these scores (none: not evaluated) is the one to use of all so far.

        The newest always is, unless `checkpoint.best` asks for the best. Raises `UserError` as `save` does.
        """
        if not self._config.best:
            return True
        self._manager.wait_until_finished()  # a save in progress has no metrics yet, and `save` waits as well
        best, ranked = self._manager.best_step(), self._ranked(scores)
        so_far = self._manager.metrics(best) if best is not None else None
        if not (ranked and so_far):
            return bool(ranked)
        better = operator.le if self._config.best_is == "lowest" else operator.ge
        return better(self._value(ranked), self._value(so_far))

    def save(self, state: TrainState, data: DataState, scores: Mapping[str, float] | None = None) -> None:
        """Starts to save the state after `state.step` steps; returns when device memory has been copied.

        A save of that step that exists is kept, unless `restore` found it damaged. `scores` are those of an
        evaluation of this very state; without them it is never the best one. Raises `UserError` where they
        lack the metric `checkpoint.best`.
        """
        step = int(state.step)
        if step in self._damaged:
            self._manager.delete(step)
            self._damaged.remove(step)
        if step in self._manager.all_steps():
            return
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), data=ocp.args.JsonSave(data))
        self._manager.save(step, args=args, metrics=self._ranked(scores), force=True)

    def restore(self, like: TrainState) -> tuple[TrainState, DataState] | None:
        """The newest state that can be read, laid out as `like` (arrays or shapes); None if there is none.

        A save that any process cannot read is damaged for all of them: it is named in a warning and the one
        before it is tried. Raises `UserError` where no save fits.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target), data=ocp.args.JsonRestore())
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                restored, reason = self._manager.restore(step, args=args), ""
            except (ValueError, OSError, KeyError, TypeError) as error:
                restored, reason = None, str(error).split("\n")[0] or type(error).__name__
            if all_agree(restored is not None):
                return restored["state"], restored["data"]
            warn(f"{self._folder / str(step)}: cannot be restored ({reason or 'by another process'})")
            self._damaged.add(step)
        if steps:
            raise UserError(
                f"{self._folder}: no save fits this run (other model sizes? choose another --workdir)"
            )
        return None

    def close(self) -> None:
        """Waits for saves in progress."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _kept(self) -> LatestN | AnyPreservationPolicy:
        newest = LatestN(self._config.keep)
        if not self._config.best:
            return newest
        best = BestN(
            get_metric_fn=self._value,
            reverse=self._config.best_is == "lowest",  # the policy keeps the last of the sorted saves
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        return AnyPreservationPolicy([newest, best])

    def _ranked(self, scores: Mapping[str, float] | None) -> dict[str, float] | None:
        """What decides which save is best, as orbax stores it."""
        if not (scores and self._config.best):
            return None
        if self._config.best not in scores:
            raise UserError(
                f"checkpoint.best: no metric {self._config.best!r} (there are {', '.join(scores)})"
            )
        value = scores[self._config.best]
        return {self._config.best: value} if math.isfinite(value) else None

    def _value(self, metrics: Mapping[str, float]) -> float:
        return metrics[self._config.best]
