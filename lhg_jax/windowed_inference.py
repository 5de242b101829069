"""Listener motion for clips of any length: the model sees overlapping windows, their outputs are blended."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from lhg_jax.features import SpeakerFeatures, crop_features

PredictWindow = Callable[[SpeakerFeatures, Float[np.ndarray, "coeff"]], Float[np.ndarray, "frames coeff"]]


def window_starts(frames: int, window: int, overlap: int) -> list[int]:
    """First frames of windows that cover `frames` frames, neighbours sharing `overlap` frames or more.

    The last window ends with the clip, so that it too is full wherever the clip is long enough.
    """
    if frames <= window:
        return [0]
    starts = list(range(0, frames - window, window - overlap))
    return [*starts, frames - window]


def crossfade(length: int) -> Float[np.ndarray, "length 1"]:
    """Weights of the newer window over an overlap: a raised cosine from 0 to 1, both ends excluded."""
    phase = (np.arange(length) + 1) / (length + 1)
    return (0.5 - 0.5 * np.cos(np.pi * phase))[:, None].astype(np.float32)


def generate(
    predict: PredictWindow,
    features: SpeakerFeatures,
    first_frame: Float[np.ndarray, "coeff"],
    *,
    window: int,
    overlap: int,
    max_words: int,
    on_window: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "frames coeff"]:
    """Predicts the listener of one clip.

    A window starts from the motion that is already blended at its first frame, so that the decoder's initial
    state is that of a listener in the middle of what they were doing; over the overlap the older window fades
    into the newer one.

    Args:
      predict: (padded window of features, first frame) -> motion of that window, its frame 0 = first frame.
      features: one clip, no leading axis.
      first_frame: listener's coefficients at the start.
      window: length that `predict` takes, in frames.
      overlap: frames shared by neighbouring windows, in [1, window).
      max_words: rows of the word table that `predict` takes, besides row 0.
      on_window: called after each window.

    Returns:
      [T, C] coefficients; row 0 is `first_frame`.
    """
    motion = np.zeros((features.frames, len(first_frame)), np.float32)
    covered = 0
    for start in window_starts(features.frames, window, overlap):
        reference = first_frame if start == 0 else motion[start]
        stop = min(start + window, features.frames)
        new = predict(crop_features(features, start, window, max_words), reference)[: stop - start]
        shared = covered - start if start else 0
        fade = crossfade(shared)
        motion[start:covered] = (1 - fade) * motion[start:covered] + fade * new[:shared]
        motion[start + shared : stop] = new[shared:]
        covered = stop
        on_window()
    return motion
