"""Random changes of a training crop (numpy); all numbers come from the generator that is passed in."""

import functools

import numpy as np

from lhg_jax.config import AugmentConfig
from lhg_jax.contract import Example, SpeakerFeatures
from lhg_jax.face_model import mirror
from lhg_jax.features import MEL_FLOOR_DB
from lhg_jax.motion import LANDMARK
from lhg_jax.speech.mfcc import mfcc_of_log_mel, past_mfcc_of_log_mel

NOISE_TABLE = 1 << 21  # values; forty times as many as a crop of 200 frames needs


def augment(
    example: Example, config: AugmentConfig, rng: np.random.Generator, causal: bool = False
) -> Example:
    """Applies every change of `config` to one crop (no leading axis); `causal` is that of its features."""
    features, listener = example.features, np.asarray(example.listener_motion)
    speaker = np.asarray(features.speaker_motion)
    if rng.random() < config.mirror:
        speaker, listener = mirror(speaker), mirror(listener)
    features = features.replace(speaker_motion=add_tracking_noise(speaker, config, rng))
    if changes_sound(config):
        features = change_sound(features, augment_log_mel(features.log_mel, config, rng), causal)
    if rng.random() < config.drop_motion:
        features = drop_motion(features)
    if rng.random() < config.drop_words:
        features = drop_words(features)
    return example.replace(features=features, listener_motion=listener)


def changes_sound(config: AugmentConfig) -> bool:
    """Whether anything but the motion and the words is changed."""
    return any((config.gain_db, config.noise_db, config.time_masks, config.band_masks))


def add_tracking_noise(motion: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """The speaker as a tracker of real video sees them: trembling and drifting, more or less.

    Half of the noise is new in every frame; half is a random walk through the crop that begins at zero. Its
    strength is uniform between nothing and the sizes of `config`.
    """
    size = np.zeros(motion.shape[-1], np.float32)
    size[LANDMARK.slice("exp")] = config.tracking_exp
    size[LANDMARK.slice("angle")] = np.deg2rad(config.tracking_deg)
    size[LANDMARK.slice("trans")] = config.tracking_trans
    if not size.any():
        return motion
    trembling, steps = rng.standard_normal((2, *motion.shape), np.float32)
    drift = np.cumsum(steps, axis=0) / np.float32(np.sqrt(len(steps)))
    return motion + np.float32(rng.uniform()) * size * (trembling + drift)


def augment_log_mel(log_mel: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Gain, noise and SpecAugment (Park et al. 2019) without warping: spans of steps or bands become silence.

    Silence stays silence: gain and noise change only what is above the floor of -80 dB.
    """
    gain_db = np.float32(rng.uniform(-config.gain_db, config.gain_db))
    changed = np.float32(rng.uniform(0, config.noise_db)) * _normal(log_mel.shape, rng)
    changed += log_mel
    changed += gain_db
    np.copyto(changed, MEL_FLOOR_DB, where=log_mel <= MEL_FLOOR_DB)
    for _ in range(config.time_masks):
        changed[_random_span(len(log_mel), config.time_mask_steps, rng)] = MEL_FLOOR_DB
    for _ in range(config.band_masks):
        changed[:, _random_span(log_mel.shape[1], config.band_mask_bands, rng)] = MEL_FLOOR_DB
    return np.maximum(changed, MEL_FLOOR_DB, out=changed)


def change_sound(features: SpeakerFeatures, log_mel: np.ndarray, causal: bool = False) -> SpeakerFeatures:
    """Replaces the log-mel and moves the MFCC with it.

    The MFCC are linear in the log-mel, so they move by the MFCC of the difference, and keep what they know
    about the frames outside the crop.
    """
    mfcc_of = past_mfcc_of_log_mel if causal else mfcc_of_log_mel
    moved = mfcc_of(log_mel - features.log_mel, features.frames)
    return features.replace(log_mel=log_mel, mfcc=features.mfcc + moved)


def drop_motion(features: SpeakerFeatures) -> SpeakerFeatures:
    """The speaker as heard in a clip without video."""
    return features.replace(
        speaker_motion=np.zeros_like(features.speaker_motion),
        speaker_seen=np.zeros_like(features.speaker_seen),
    )


def drop_words(features: SpeakerFeatures) -> SpeakerFeatures:
    """The speaker as heard where no word was recognised."""
    return features.replace(
        word_table=np.zeros_like(features.word_table), word_index=np.zeros_like(features.word_index)
    )


def _normal(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers out of a long table: drawing them anew took half of the loader's time."""
    size = shape[0] * shape[1]
    table = _noise_table(max(NOISE_TABLE, 2 * size))
    start = rng.integers(0, len(table) - size)
    return table[start : start + size].reshape(shape)


@functools.cache
def _noise_table(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size, np.float32)


def _random_span(size: int, longest: int, rng: np.random.Generator) -> slice:
    length = rng.integers(0, min(longest, size) + 1)
    start = rng.integers(0, size - length + 1)
    return slice(start, start + length)
