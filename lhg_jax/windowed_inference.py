"""Listener motion for clips of any length: the model sees overlapping windows, their outputs are blended."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import InferenceSpec, SpeakerFeatures
from lhg_jax.features import crop_features

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
    spec: InferenceSpec,
    *,
    on_window: Callable[[], None] = lambda: None,
) -> Float[np.ndarray, "frames coeff"]:
    """Predicts the listener of one clip.

    The model predicts change since a first frame, and sees the speaker's change since theirs. In each window
    these are the first frames of the clip: a window that began inside a nod or a smile would else take it for
    the face at rest. Over the overlap the older window fades into the newer one.

    Args:
      predict: (padded window of features, first frame) -> motion of that window, its frame 0 = first frame;
        may be written to.
      features: one clip, no leading axis.
      first_frame: listener's coefficients at the start.
      spec: length of a window, of its overlap and of the word table that `predict` takes.
      on_window: called after each window.

    Returns:
      [T, C] coefficients; row 0 is `first_frame`.
    """
    motion = np.zeros((features.frames, len(first_frame)), np.float32)
    covered, reference = 0, features.speaker_motion[np.argmax(features.speaker_seen)]
    for start in window_starts(features.frames, spec.window, spec.overlap):
        stop = min(start + spec.window, features.frames)
        crop = crop_features(features, start, spec.window, spec.max_words)
        crop.speaker_motion[0], crop.speaker_seen[0] = reference, features.speaker_seen.any()
        new = predict(crop, first_frame)[: stop - start]
        shared = covered - start if start else 0
        if shared:
            new[0] = motion[start]  # not the reference, which `predict` returns there
        fade = crossfade(shared)
        motion[start:covered] = (1 - fade) * motion[start:covered] + fade * new[:shared]
        motion[start + shared : stop] = new[shared:]
        covered = stop
        on_window()
    return motion
