"""What a run is judged by: losses, errors, Fréchet distances and rule probes of the averaged parameters."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from lhg_jax.config import TrainConfig
from lhg_jax.contract import Example, InferenceSpec, SpeakerFeatures
from lhg_jax.data.pipeline import eval_batches, to_devices
from lhg_jax.data.records import RecordSource
from lhg_jax.metrics.frechet import Moments, frechet_distance
from lhg_jax.motion import CoefficientSpace
from lhg_jax.training.compiler import compiler_options
from lhg_jax.training.objective import EvalSums, coefficient_groups, measure
from lhg_jax.training.sharding import batch_sharding, on_host, replicated
from lhg_jax.training.state import TrainState
from lhg_jax.training.step import eval_step
from lhg_jax.util.errors import MissingExtraError
from lhg_jax.util.progress import warn
from lhg_jax.windowed_inference import generate

if TYPE_CHECKING:
    from lhg_jax.simulator.benchmark import TestClip


class Evaluation:
    """The held-out clips and the compiled functions that score a state on them."""

    def __init__(self, config: TrainConfig, model: nn.Module, mesh: Mesh, source: RecordSource):
        self._config, self._source, self._mesh = config, source, mesh
        self.space = source.space

        def score_batch(state, batch):
            output = eval_step(state, batch, model=model)
            sums = measure(output, batch, config=config.loss, space=source.space)
            return jax.tree.map(jnp.sum, sums), output.motion, batch.listener_motion, batch.listener_seen

        options = compiler_options(mesh.devices.flat[0].platform)
        self._score_batch = jax.jit(score_batch, out_shardings=replicated(mesh), compiler_options=options)
        apply = functools.partial(model.apply, train=False)
        self._apply = jax.jit(apply, compiler_options=options)
        self._dyads: list[TestClip] | None = None

    def __call__(self, state: TrainState) -> dict[str, float]:
        """Metrics over every clip, each counted once; the same in every process.

        Those of `objective.measure`; `exp_frechet` and `pose_frechet`, Fréchet distances of single frames'
        coefficients; and, where the clips are synthetic, `data.benchmark.score` of whole clips as `probe_*`.
        """
        data, sums, frechet = self._config.data, EvalSums(), FrechetSums(self._source.space)
        share = {"process": jax.process_index(), "processes": jax.process_count()}
        batches = eval_batches(self._source, data.eval_frames, batch_size=data.eval_batch_size, **share)
        for batch in to_devices(batches, batch_sharding(self._mesh)):
            batch_sums, *motions = jax.device_get(self._score_batch(state, batch))
            sums.add(batch_sums)
            frechet.add(*motions)
        return sums.means() | frechet.distances() | self._probe(state)

    def _probe(self, state: TrainState) -> dict[str, float]:
        """Scores of the listener as it is used, window by window, on the first `data.probe_clips` dyads."""
        if not self._config.data.probe_clips or self._source.metadata.source != "synthetic":
            return {}
        variables = self._variables(state)
        if self._dyads is None:
            self._dyads = synthetic_dyads(self._source, self._config.data.probe_clips)
        if not self._dyads:
            return {}
        from lhg_jax.simulator.benchmark import score

        scores = score(lambda clip: self._listen(variables, clip.example), self._dyads)
        return {f"probe_{name}": value for name, value in scores.items() if np.isfinite(value)}

    def sample(
        self, state: TrainState
    ) -> tuple[Float[np.ndarray, "frames coeff"], Float[np.ndarray, "frames coeff"]]:
        """Predicted and true motion of the first held-out clip; every process has to call it."""
        clip = self._source[0]
        return self._listen(self._variables(state), clip), clip.listener_motion

    def _variables(self, state: TrainState) -> Mapping[str, Any]:
        """On one device of this process, once for all windows; every process has to call it."""
        return jax.device_put(on_host(state.eval_variables, self._mesh))

    def _listen(self, variables: Mapping[str, Any], clip: Example) -> Float[np.ndarray, "frames coeff"]:
        def predict(window: SpeakerFeatures, first: np.ndarray) -> np.ndarray:
            batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], window)
            return np.array(self._apply(variables, batch, first[None]).motion[0])

        features, first = clip.features, clip.listener_motion[0]
        return generate(predict, features, first, InferenceSpec.for_crop(self._config.data.crop_frames))


class FrechetSums:
    """Moments of predicted and true coefficients over batches, frame 0 left out."""

    def __init__(self, space: CoefficientSpace):
        self._groups = coefficient_groups(space)
        self._moments: dict[str, list[Moments]] = {}

    def add(
        self,
        predicted_BTC: Float[np.ndarray, "batch frame coeff"],
        target_BTC: Float[np.ndarray, "batch frame coeff"],
        valid_BT: Bool[np.ndarray, "batch frame"],
    ) -> None:
        """Takes the valid frames of one batch."""
        scored_BT = valid_BT & (np.arange(valid_BT.shape[1]) > 0)
        for name, columns in self._groups.items():
            new = [Moments.of(motion[scored_BT][:, columns]) for motion in (predicted_BTC, target_BTC)]
            old = self._moments.get(name)
            self._moments[name] = [a.merge(b) for a, b in zip(old, new, strict=True)] if old else new

    def distances(self) -> dict[str, float]:
        """`exp_frechet`, `pose_frechet`; empty where fewer than two frames were seen."""
        pairs = {name: pair for name, pair in self._moments.items() if min(m.count for m in pair) > 1}
        return {f"{name}_frechet": frechet_distance(*pair) for name, pair in pairs.items()}


def synthetic_dyads(source: RecordSource, count: int) -> "list[TestClip]":
    """The first dyads of a folder with all that the rule probes need, made again from their names.

    Empty, with a warning, where the simulator is not installed or no longer makes the clips of the folder.
    Those with recorded speech are left out: the recordings are not kept with the clips.
    """
    from lhg_jax.simulator.benchmark import TestClip
    from lhg_jax.simulator.dyads import synthesise_again

    clips = []
    for number in range(min(count, len(source))):
        try:
            dyad = synthesise_again(source.metadata.uuids[number])
        except MissingExtraError as error:
            warn(f"no rule probes: {error}")
            return []
        if dyad is None:
            continue
        clips.append(TestClip(dyad, source[number]))
        if not np.array_equal(dyad.listener.values, clips[-1].example.listener_motion):
            warn(f"{source.folder}: made by another simulator, no rule probes (prepare it again)")
            return []
    return clips
