"""What a run has trained so far, as the one file that `sample`, `export` and `start.listener` take."""

from pathlib import Path

import flax.linen as nn
import jax
from jax.sharding import Mesh

from lhg_jax.config import TrainConfig, to_json
from lhg_jax.contract import InferenceSpec
from lhg_jax.data.records import RecordSource
from lhg_jax.listener_checkpoint import ListenerModel, save_listener
from lhg_jax.training.sharding import on_host
from lhg_jax.training.state import TrainState
from lhg_jax.util.progress import duration

NAME = "listener.safetensors"


class ListenerFile:
    """`listener.safetensors` in the working folder, written anew with each save that counts."""

    def __init__(
        self, workdir: Path, config: TrainConfig, model: nn.Module, source: RecordSource, mesh: Mesh
    ):
        """`source` is what the run trains on."""
        self._path, self._model, self._mesh = workdir / NAME, model, mesh
        self._features, self._inference = source.features, InferenceSpec.for_crop(config.data.crop_frames)
        self._clips = f"{len(source)} clips ({duration(3600 * source.metadata.hours)})"
        self._settings = to_json(config)

    def write(self, state: TrainState) -> None:
        """The averaged parameters after `state.step` steps. Every process has to call it, one writes."""
        variables = on_host(state.eval_variables, self._mesh)
        if jax.process_index() == 0:
            trained = ListenerModel(self._model, variables, self._features, inference=self._inference)
            notes = {"training": f"{state.step} steps on {self._clips}", "settings": self._settings}
            save_listener(self._path, trained, notes)
