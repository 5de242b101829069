"""A trained listener as one file: weights, its configuration and its coefficient space; ready to generate."""

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

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps
from lhg_jax.models.listener import Listener, ListenerConfig
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener
from lhg_jax.motion import SPACES, CoefficientSpace
from lhg_jax.util.errors import UserError
from lhg_jax.weights import check_tree, load_weights, save_weights
from lhg_jax.windowed_inference import generate, window_starts

DEMO = Path(__file__).parent / "assets" / "demo.safetensors"
WINDOW = 178  # frames, about 6 s: the demo's training crop; a listener's last nod decides about the next
OVERLAP = 60  # frames shared by neighbouring windows
MAX_WORDS = 64  # words a window can hold; 6 s of the fastest speech has fewer
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
      space: of the motion that it takes and gives.
      word_size: entries of a word vector.
    """

    model: nn.Module
    variables: Mapping[str, Any]
    space: CoefficientSpace
    word_size: int

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
        """Windows that `generate` needs for a clip."""
        return len(window_starts(frames, WINDOW, OVERLAP))

    def generate(
        self,
        features: SpeakerFeatures,
        first_frame: Float[np.ndarray, "coeff"],
        on_window: Callable[[], None] = lambda: None,
    ) -> Float[np.ndarray, "frames coeff"]:
        """Motion of the listener for one clip of any length; frame 0 is `first_frame`.

        Raises `UserError` if the word vectors are not of the size that the model was trained with.
        """
        if features.word_table.shape[-1] != self.word_size:
            raise UserError(
                f"the checkpoint takes word vectors of size {self.word_size}, "
                f"the word encoder gives {features.word_table.shape[-1]}"
            )

        return generate(
            self.predict,
            features,
            first_frame.astype(np.float32),
            window=WINDOW,
            overlap=OVERLAP,
            max_words=MAX_WORDS,
            on_window=on_window,
        )


def save_listener(path: Path, trained: ListenerModel, notes: Mapping[str, str]) -> None:
    """Writes a listener; `notes` (command, scores, licence ...) are kept as metadata."""
    name = next(key for key, (module, _) in MODELS.items() if isinstance(trained.model, module))
    settings = json.dumps(dataclasses.asdict(trained.model.config))
    own = {
        "model": name,
        "config": settings,
        "space": trained.space.name,
        "word_size": str(trained.word_size),
    }
    save_weights(path, trained.variables, {**notes, **own})


def load_listener(path: Path | None) -> ListenerModel:
    """Reads a listener; None is the demo model in the package. Raises `UserError` for anything else."""
    path = path or DEMO
    variables, metadata = load_weights(path)
    try:
        module, config_class = MODELS[metadata["model"]]
        space = SPACES[metadata["space"]]
        config = config_class(**tuples(json.loads(metadata["config"])))
        word_size = int(metadata["word_size"])
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a listener saved by this project ({error!r})") from error
    model = module(config)
    check_tree(path, variables, template(model, space, word_size))
    return ListenerModel(model, variables, space, word_size)


def tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON turns tuples into lists; a module's settings must be hashable again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def template(model: nn.Module, space: CoefficientSpace, word_size: int) -> dict[str, Any]:
    """Shapes of a model's variables."""
    shapes = SpeakerFeatures(
        log_mel=jnp.zeros((1, mel_steps(WINDOW), MEL_BANDS)),
        mfcc=jnp.zeros((1, WINDOW, MFCC_SIZE)),
        word_table=jnp.zeros((1, MAX_WORDS + 1, word_size)),
        word_index=jnp.zeros((1, WINDOW), jnp.int32),
        speaker_motion=jnp.zeros((1, WINDOW, space.size)),
        speaker_seen=jnp.ones((1, WINDOW), bool),
        in_clip=jnp.ones((1, WINDOW), bool),
    )
    init = functools.partial(model.init, train=False)
    return jax.eval_shape(init, jax.random.key(0), shapes, jnp.zeros((1, space.size)))
