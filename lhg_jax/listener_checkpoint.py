"""A trained listener as one file: weights, configuration and specs; ready to generate."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lhg_jax import streamed_inference
from lhg_jax.contract import (
    VICO_COMPAT,
    FeatureSpec,
    InferenceSpec,
    SpeakerFeatures,
    require_same,
    spec_from_json,
    spec_to_json,
)
from lhg_jax.fading import faded
from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps
from lhg_jax.generative import Draw, ListenerHead, draw_motion, run_trunk, stateful
from lhg_jax.models.flow_head import FlowHead, FlowHeadConfig, example_inputs
from lhg_jax.models.listener import Listener, ListenerConfig
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener
from lhg_jax.motion import LANDMARK, SPACES, CoefficientSpace
from lhg_jax.util.errors import UserError
from lhg_jax.weights import check_tree, load_weights, save_weights
from lhg_jax.windowed_inference import generate, window_starts

DEMO = Path(__file__).parent / "assets" / "demo.safetensors"
MODELS: dict[str, tuple[type, type]] = {
    "listener": (Listener, ListenerConfig),
    "vico_lstm": (ViCoListener, ViCoConfig),
}


@dataclasses.dataclass(frozen=True)
class ListenerModel:
    """A model and its variables.

    Attributes:
      model: a module of `MODELS`.
      variables: parameters, batch statistics and constants.
      features: what its inputs mean, and the space of the motion that it takes and gives.
      head: draws listeners about the model's, None where it only knows the mean one.
      inference: how it is run on a clip.
      name: for messages, e.g. its file.
      training: how long it was trained, and on what; empty where its file does not say.
    """

    model: nn.Module
    variables: Mapping[str, Any]
    features: FeatureSpec
    head: ListenerHead | None = None
    inference: InferenceSpec = dataclasses.field(default_factory=InferenceSpec)
    name: str = "the listener"
    training: str = ""

    @property
    def space(self) -> CoefficientSpace:
        """Of the motion that it takes and gives."""
        return SPACES[self.features.space]

    @property
    def word_size(self) -> int:
        """Entries of a word vector."""
        return self.features.word_size

    def require_features(self, what: str, features: FeatureSpec, way_out: str) -> None:
        """Raises `UserError` naming both sides where features mean something else than it was trained on."""
        require_same(self.name, self.features, what, features, way_out)

    @functools.cached_property
    def _apply(self) -> Callable:
        variables = jax.device_put(self.variables)  # once, not for every window
        apply = jax.jit(functools.partial(self.model.apply, train=False))
        return functools.partial(apply, variables)

    def predict(
        self, window: SpeakerFeatures, first_frame: Float[np.ndarray, "coeff"]
    ) -> Float[np.ndarray, "frames coeff"]:
        """Motion for one window, as long as it is; compiled anew for each length."""
        batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], window)
        return np.array(self._apply(batch, first_frame[None]).motion[0])

    def count_windows(self, frames: int) -> int:
        """Windows, or pieces of a stream, that `generate` needs for a clip."""
        if streamed_inference.is_causal(self.model):
            return streamed_inference.count_pieces(frames, self.model.config.look_ahead)
        return len(window_starts(frames, self.inference.window, self.inference.overlap))

    def generate(
        self,
        features: SpeakerFeatures,
        first_frame: Float[np.ndarray, "coeff"],
        on_window: Callable[[], None] = lambda: None,
    ) -> Float[np.ndarray, "frames coeff"]:
        """Motion of the listener for one clip of any length; frame 0 is `first_frame`.

        Raises `UserError` if word vectors or MFCC columns are not of the size that it was trained with.
        """
        self._check_sizes(features)
        first = first_frame.astype(np.float32)
        if not streamed_inference.is_causal(self.model):
            return generate(self.predict, features, first, self.inference, on_window=on_window)
        stream = streamed_inference.Stream(self.model, self.variables, first)
        look_ahead, max_words = self.model.config.look_ahead, self.inference.max_words
        return streamed_inference.generate(
            stream, features, first, look_ahead=look_ahead, max_words=max_words, on_piece=on_window
        )

    def draw(
        self,
        features: SpeakerFeatures,
        first_frame: Float[np.ndarray, "coeff"],
        draw: Draw,
        samples: int = 1,
        on_window: Callable[[], None] = lambda: None,
    ) -> Float[np.ndarray, "samples frames coeff"]:
        """Motions of `samples` listeners, with the seeds `draw.seed`, `draw.seed` + 1, ...

        At temperature 0 all of them are what `generate` gives. Raises as it does, and `UserError` where there
        is no head to draw with, or as `fading.faded` does.
        """
        if draw.temperature == 0:
            return np.repeat(self.generate(features, first_frame, on_window)[None], samples, axis=0)
        if self.head is None:
            raise UserError("this listener has no flow head: it can only be used at --temperature 0")
        self._check_sizes(features)
        first = first_frame.astype(np.float32)
        rest = at_rest(first, self.space)
        trunk = run_trunk(self._apply_stateful, features, rest, self.inference, on_window)
        seeds = [draw.seed + number for number in range(samples)]
        styles = [dataclasses.replace(draw, seed=seed).drawn_style(self.head.styles) for seed in seeds]
        drawn = draw_motion(self.head, trunk, styles, seeds, draw.temperature)
        each = [
            faded(values, self.space, draw.factors, seed) for values, seed in zip(drawn, seeds, strict=True)
        ]
        return np.stack(each) + (first - rest)

    @functools.cached_property
    def _apply_stateful(self) -> Callable:
        return functools.partial(jax.jit(stateful(self.model)), jax.device_put(self.variables))

    def _check_sizes(self, features: SpeakerFeatures) -> None:
        sizes = {"word_size": features.word_table.shape[-1], "mfcc_size": features.mfcc.shape[-1]}
        given = dataclasses.replace(self.features, **sizes)
        self.require_features("the features", given, "extract them as those it was trained on")


def at_rest(first_frame: Float[np.ndarray, "coeff"], space: CoefficientSpace) -> Float[np.ndarray, "coeff"]:
    """The portrait's pose with a face at rest, from which listeners are drawn; their own expression is added.

    A head only knows states of its trunk like those of its training set, whose faces are near rest; a broad
    smile in a photograph is far from them, and the listener drawn from there jumped and never came to rest.
    Only the `landmark` space says what rest is: 0.
    """
    rest = first_frame.copy()
    if space == LANDMARK:
        rest[space.slice("exp")] = 0
    return rest


def save_listener(path: Path, trained: ListenerModel, notes: Mapping[str, str]) -> None:
    """Writes a listener; `notes` (command, scores, licence ...) are kept as metadata."""
    name = next(key for key, (module, _) in MODELS.items() if isinstance(trained.model, module))
    settings = json.dumps(dataclasses.asdict(trained.model.config))
    own = {
        "model": name,
        "config": settings,
        "features": spec_to_json(trained.features),
        "inference": spec_to_json(trained.inference),
    }
    variables = dict(trained.variables)
    if trained.head:
        own["head"] = json.dumps(dataclasses.asdict(trained.head.head.config))
        variables["head"] = {**trained.head.variables, "styles": trained.head.styles}
    save_weights(path, variables, {**notes, **own})


def load_listener(path: Path | None) -> ListenerModel:
    """Reads a listener; None is the demo model in the package. Raises `UserError` for anything else."""
    path = path or DEMO
    variables, metadata = load_weights(path)
    try:
        module, config_class = MODELS[metadata["model"]]
        config = config_class(**tuples(json.loads(metadata["config"])))
        features, inference = read_specs(metadata, variables)
        SPACES[features.space]
        head_settings = json.loads(metadata.get("head", "null"))
        if head_settings and "innovations" not in head_settings:
            raise UserError(f"{path}: its flow head is of an older kind: train its second stage again")
        head = FlowHead(FlowHeadConfig(**head_settings)) if head_settings else None
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a listener saved by this project ({error!r})") from error
    model, variables = module(config), in_full_precision(variables)
    own = read_head(path, head, variables.pop("head", {})) if head else None
    check_tree(path, variables, template(model, features))
    return ListenerModel(model, variables, features, own, inference, str(path), metadata.get("training", ""))


def read_specs(
    metadata: Mapping[str, str], variables: Mapping[str, Any]
) -> tuple[FeatureSpec, InferenceSpec]:
    """The specs in a listener's metadata; for a file from before there were any, what all of them were.

    Raises KeyError, ValueError or TypeError where they are none.
    """
    if "features" in metadata:
        features = spec_from_json(FeatureSpec, metadata["features"])
        return features, spec_from_json(InferenceSpec, metadata["inference"])
    norm = variables.get("batch_stats", {}).get("mfcc_norm", {})
    columns = len(norm["mean"]) if "mean" in norm else MFCC_SIZE
    mfcc = FeatureSpec.mfcc if columns == MFCC_SIZE else VICO_COMPAT
    word_size = int(metadata["word_size"])
    old = FeatureSpec(mfcc=mfcc, mfcc_size=columns, word_size=word_size, space=metadata["space"])
    return old, InferenceSpec()


def in_full_precision(variables: dict[str, Any]) -> dict[str, Any]:
    """What was kept in half precision to make a small file, as float32."""
    return jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float16 else x, variables)


def in_half_precision(trained: ListenerModel) -> ListenerModel:
    """Parameters of half the size for a file, and constants of the head; what was measured stays as it is."""

    def half(tree):
        return jax.tree.map(lambda x: np.asarray(x, np.float16), tree)

    variables = {**trained.variables, "params": half(trained.variables["params"])}
    if (own := trained.head) is not None:
        own = dataclasses.replace(own, variables=half(dict(own.variables)), styles=half(own.styles))
    return dataclasses.replace(trained, variables=variables, head=own)


def read_head(path: Path, head: FlowHead, variables: dict[str, Any]) -> ListenerHead:
    """The flow head of a listener file. Raises `UserError` for unfit weights."""
    styles = variables.pop("styles", np.zeros((0, 0), np.float32))
    check_tree(path, variables, jax.eval_shape(head.init, jax.random.key(0), *example_inputs(head.config)))
    return ListenerHead(head, variables, styles)


def tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON turns tuples into lists; a module's settings must be hashable again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def template(model: nn.Module, features: FeatureSpec) -> dict[str, Any]:
    """Shapes of a model's variables."""
    frames, coeff = 2, SPACES[features.space].size  # no shape depends on the length of a clip
    shapes = SpeakerFeatures(
        log_mel=jnp.zeros((1, mel_steps(frames), MEL_BANDS)),
        mfcc=jnp.zeros((1, frames, features.mfcc_size)),
        word_table=jnp.zeros((1, 1, features.word_size)),
        word_index=jnp.zeros((1, frames), jnp.int32),
        speaker_motion=jnp.zeros((1, frames, coeff)),
        speaker_seen=jnp.ones((1, frames), bool),
        in_clip=jnp.ones((1, frames), bool),
    )
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), shapes, jnp.zeros((1, coeff)))
