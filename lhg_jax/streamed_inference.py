"""Listener motion piece by piece, the network's state carried from one to the next (`models.stream`).

What windows are to a listener that sees whole clips (`windowed_inference`), this is to a causal one: for
clips of any length and for live sessions.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.features import crop_features, pad_features
from lhg_jax.models.stream import STREAM

PERIOD = 4  # frames after which the state has the same shapes again: the audio encoder's strides
PIECE = 15 * PERIOD  # frames of a clip that are taken at once


class Stream:
    """A causal listener and how far it has got."""

    def __init__(
        self, model: nn.Module, variables: Mapping[str, Any], first_frame: Float[np.ndarray, "coeff"]
    ):
        """Starts at the listener's resting face."""
        self._variables = jax.device_put(dict(variables))
        self._first = jnp.asarray(first_frame, jnp.float32)[None]
        self._step = jax.jit(functools.partial(model.apply, method="step", mutable=[STREAM]))
        self.restart()

    def restart(self, first_frame: Float[np.ndarray, "coeff"] | None = None) -> None:
        """Goes back to the start of a stream, of another resting face if one is given."""
        if first_frame is not None:
            self._first = jnp.asarray(first_frame, jnp.float32)[None]
        self._state: dict[str, Any] = {}

    def step(self, piece: SpeakerFeatures) -> Float[np.ndarray, "frames coeff"]:
        """What the listener does one frame later (less `look_ahead`) than each frame of the next piece.

        The log-mel of `piece` (no leading axis) runs ahead as `Listener.step` says.
        """
        batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], piece)
        rows, self._state = self._step({**self._variables, **self._state}, batch, self._first)
        return np.asarray(rows[0])


def is_causal(model: nn.Module) -> bool:
    """Whether a model can take a stream."""
    return not getattr(model.config, "bidirectional", True)


def pieces(features: SpeakerFeatures, count: int, max_words: int) -> Iterator[SpeakerFeatures]:
    """The first `count` pieces of a clip, silent and unseen behind its end."""
    frames = max(count * PIECE, features.frames) + 2
    features = pad_features(features, frames, len(features.word_table))
    for start in range(0, count * PIECE, PIECE):
        steps = slice(2 * start + 3 if start else 0, 2 * (start + PIECE) + 3)
        yield crop_features(features, start, PIECE, max_words).replace(log_mel=features.log_mel[steps])


def count_pieces(frames: int, look_ahead: int) -> int:
    """Pieces that give the motion of a clip."""
    return max(-(-(frames - 1 + look_ahead) // PIECE), 1)


def generate(
    stream: Stream,
    features: SpeakerFeatures,
    first_frame: Float[np.ndarray, "coeff"],
    *,
    look_ahead: int,
    max_words: int,
    on_piece: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "frames coeff"]:
    """Predicts the listener of one clip.

    Args:
      stream: at its start.
      features: one clip, no leading axis.
      first_frame: listener's coefficients at the start.
      look_ahead: of the model.
      max_words: words that a piece can hold.
      on_piece: called after each piece.

    Returns:
      [T, C] coefficients; row 0 is `first_frame`.
    """
    rows = []
    for piece in pieces(features, count_pieces(features.frames, look_ahead), max_words):
        rows.append(stream.step(piece))
        on_piece()
    later = np.concatenate(rows)[look_ahead : look_ahead + features.frames - 1]
    return np.concatenate([first_frame[None], later]).astype(np.float32)
