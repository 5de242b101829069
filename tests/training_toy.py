"""A small model and random batches for the tests of training."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lhg_jax.contract import Example, ListenerOutput, LossSums, SpeakerFeatures
from lhg_jax.data.schema import stack
from lhg_jax.features import mel_steps
from lhg_jax.models.motion_scale import MotionScale
from lhg_jax.models.resnet_se import BatchNorm
from lhg_jax.motion import LANDMARK

WORD_SIZE = 6


def random_example(
    rng: np.random.Generator, frames: int, words: int = 4, index: int = 0, gaps: bool = True
) -> Example:
    """A clip in the LANDMARK space whose listener echoes the speaker, so that there is something to learn.

    With `gaps` each of them is lost for a while, not at the same time.
    """
    motion = rng.normal(0, 0.1, (frames, LANDMARK.size)).astype(np.float32)
    table = rng.normal(size=(words + 1, WORD_SIZE)).astype(np.float32)
    table[0] = 0
    features = SpeakerFeatures(
        log_mel=rng.uniform(-80, 0, (mel_steps(frames), 128)).astype(np.float32),
        mfcc=rng.normal(0, 10, (frames, 39)).astype(np.float32),
        word_table=table,
        word_index=np.sort(rng.integers(0, words + 1, frames)).astype(np.int32),
        speaker_motion=motion,
        speaker_seen=_seen(frames, index) if gaps else np.ones(frames, bool),
        in_clip=np.ones(frames, bool),
    )
    seen = _seen(frames, index + 1) if gaps else np.ones(frames, bool)
    return Example(features, 0.5 * motion + 0.01, seen, np.int32(index))


def _seen(frames: int, index: int) -> np.ndarray:
    """All but a gap of a fifth of the clip, somewhere behind frame 0."""
    start = 1 + index % max(frames - 1, 1)
    return (np.arange(frames) < start) | (np.arange(frames) >= start + frames // 5)


def random_batch(seed: int, size: int = 8, frames: int = 6, gaps: bool = True) -> Example:
    rng = np.random.default_rng(seed)
    return stack((random_example(rng, frames, index=i, gaps=gaps) for i in range(size)), size)


class ToyListener(nn.Module):
    """Same call as `Listener`: a batch norm, one hidden layer, dropout."""

    dropout: float = 0.0
    batch_statistics: bool = True  # False: the batch norm always uses the running ones

    @nn.compact
    def __call__(self, features, first_frame, *, train):
        scale = MotionScale(LANDMARK.size, name="motion_scale")
        x = BatchNorm(name="norm")(
            scale.normalise(features.speaker_motion), features.in_clip, train and self.batch_statistics
        )
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(nn.Dense(16)(x)))
        motion = scale.denormalise(nn.Dense(LANDMARK.size)(x)).at[:, 0].set(first_frame)
        nothing = jnp.zeros((*features.in_clip.shape, 0), jnp.float32)
        return ListenerOutput(motion, nothing, (nothing,) * 3, jnp.zeros_like(features.in_clip))


def toy_objective(output, batch):
    """Mean squared error over all frames and coefficients."""
    sums = jnp.square(output.motion - batch.listener_motion).mean(-1).sum(1)
    loss = LossSums(sums, jnp.full_like(sums, batch.listener_motion.shape[1]))
    return (loss.replace(terms={"mse": loss}),)
