"""Small random inputs and weights shared by the tests of the models."""

import dataclasses
import zlib

import flax.traverse_util
import jax
import numpy as np

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps, pad_features
from lhg_jax.models import ListenerConfig

COEFF, WORDS, WORD_SIZE = 7, 5, 6
TINY = ListenerConfig(
    coeff=COEFF,
    audio_filters=(4, 4, 8, 16),
    audio_depths=(1, 1, 1, 1),
    level_size=5,
    text_channels=(4,),
    fusion_size=8,
    fusion_blocks=1,
    hidden=4,
    layers=1,
)


def random_variables(module, *args, seed: int = 0, **kwargs):
    """Variables of a module with random values: no parameter is zero, running variances are positive."""
    shapes = jax.eval_shape(lambda key: module.init(key, *args, **kwargs), jax.random.key(0))
    flat = {}
    for path, x in flax.traverse_util.flatten_dict(shapes).items():
        rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
        values = rng.standard_normal(x.shape) * max(np.prod(x.shape[:-1]), 1) ** -0.5
        if path[-1] in ("scale", "g"):
            values = 1 + 0.1 * values
        if path[-1] in ("var", "std"):
            values = rng.uniform(0.5, 1.5, x.shape)
        flat[path] = values.astype(np.float32)
    return flax.traverse_util.unflatten_dict(flat)


def random_clip(frames: int, seed: int = 0) -> SpeakerFeatures:
    """Features of one clip, no leading axis, the speaker seen in every frame."""
    rng = np.random.default_rng([seed, frames])

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    word_table = normal(WORDS, WORD_SIZE)
    word_table[0] = 0
    return SpeakerFeatures(
        log_mel=np.clip(normal(mel_steps(frames), MEL_BANDS) * 20 - 40, -80, 0),
        mfcc=normal(frames, MFCC_SIZE) * 10,
        word_table=word_table,
        word_index=rng.integers(0, WORDS, frames).astype(np.int32),
        speaker_motion=normal(frames, COEFF),
        speaker_seen=np.ones(frames, bool),
        in_clip=np.ones(frames, bool),
    )


def batch(clips: list[SpeakerFeatures], frames: int) -> SpeakerFeatures:
    """Pads clips to `frames` and stacks them."""
    padded = [pad_features(clip, frames, WORDS) for clip in clips]
    return jax.tree.map(lambda *arrays: np.stack(arrays), *padded)


def perturb_padding(features: SpeakerFeatures, lengths: list[int], seed: int = 1) -> SpeakerFeatures:
    """Large random values wherever a clip of that length has none of its own."""
    rng = np.random.default_rng(seed)
    changed = {}
    for field in dataclasses.fields(features):
        array = getattr(features, field.name).copy()
        for row, length in enumerate(lengths):
            own = (mel_steps(length) if length else 0) if field.name == "log_mel" else length
            if field.name in ("log_mel", "mfcc", "speaker_motion"):
                array[row, own:] = rng.standard_normal(array[row, own:].shape) * 100
            if field.name == "word_index":
                array[row, own:] = rng.integers(1, WORDS, array[row, own:].shape)
        changed[field.name] = array
    return SpeakerFeatures(**changed)
