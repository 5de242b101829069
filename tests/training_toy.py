"""A small model and random batches for the tests of training."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lhg_jax.data.schema import Example, stack
from lhg_jax.features import SpeakerFeatures, mel_steps
from lhg_jax.models.listener import ListenerOutput, MotionScale
from lhg_jax.models.resnet_se import BatchNorm
from lhg_jax.motion import LANDMARK

WORD_SIZE = 6


def random_example(rng: np.random.Generator, frames: int, words: int = 4, index: int = 0) -> Example:
    """A clip in the LANDMARK space whose listener echoes the speaker, so that there is something to learn."""
    motion = rng.normal(0, 0.1, (frames, LANDMARK.size)).astype(np.float32)
    table = rng.normal(size=(words + 1, WORD_SIZE)).astype(np.float32)
    table[0] = 0
    features = SpeakerFeatures(
        log_mel=rng.uniform(-80, 0, (mel_steps(frames), 128)).astype(np.float32),
        mfcc=rng.normal(0, 10, (frames, 39)).astype(np.float32),
        word_table=table,
        word_of_frame=np.sort(rng.integers(0, words + 1, frames)).astype(np.int32),
        motion=motion,
        has_motion=np.array(True),
        valid=np.ones(frames, bool),
    )
    return Example(features, 0.5 * motion + 0.01, np.int32(index))


def random_batch(seed: int, size: int = 8, frames: int = 6) -> Example:
    rng = np.random.default_rng(seed)
    return stack([random_example(rng, frames, index=i) for i in range(size)])


class ToyListener(nn.Module):
    """Same call as `Listener`: a batch norm, one hidden layer, dropout."""

    dropout: float = 0.0
    batch_statistics: bool = True  # False: the batch norm always uses the running ones

    @nn.compact
    def __call__(self, features, first_frame, *, train):
        scale = MotionScale(LANDMARK.size, name="motion_scale")
        x = BatchNorm(name="norm")(
            scale.normalise(features.motion), features.valid, train and self.batch_statistics
        )
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(nn.Dense(16)(x)))
        motion = scale.restore(nn.Dense(LANDMARK.size)(x)).at[:, 0].set(first_frame)
        nothing = jnp.zeros((*features.valid.shape, 0), jnp.float32)
        return ListenerOutput(motion, nothing, (nothing,) * 3, jnp.zeros_like(features.valid))


def toy_objective(output, batch):
    loss = jnp.mean(jnp.square(output.motion - batch.target))
    return loss, {"mse": loss}
