"""The unit in which listeners see motion: each coefficient from its mean, in its standard deviations."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class MotionScale(nn.Module):
    """Mean and standard deviation of each coefficient over the training set (collection "constants").

    They are 0 and 1 until `with_motion_statistics` sets them, and are saved with the weights.
    """

    coeff: int

    def setup(self):
        """Declares the two constants."""
        self.mean = self.variable("constants", "mean", jnp.zeros, (self.coeff,))
        self.std = self.variable("constants", "std", jnp.ones, (self.coeff,))

    def normalise(self, values: Float[Array, "*batch coeff"]) -> Float[Array, "*batch coeff"]:
        """(values - mean) / std."""
        shape = (1,) * (values.ndim - 1) + (self.coeff,)
        return (values - self.mean.value.reshape(shape)) / self.std.value.reshape(shape)

    def normalise_change(self, values: Float[Array, "*batch coeff"]) -> Float[Array, "*batch coeff"]:
        """values / std: of differences, in which the mean has cancelled."""
        return values / self.std.value.reshape((1,) * (values.ndim - 1) + (self.coeff,))

    def denormalise(self, values: Float[Array, "*batch coeff"]) -> Float[Array, "*batch coeff"]:
        """values * std + mean."""
        shape = (1,) * (values.ndim - 1) + (self.coeff,)
        return values * self.std.value.reshape(shape) + self.mean.value.reshape(shape)


# In the coefficient's own unit. A coefficient that moves less in the training set than a tracker of real
# video errs must not be blown up to unit variance. Chosen for `landmark`, whose tracker errs by up to about
# as much (tests/faces/landmark_test.py); for the other spaces nobody has measured it.
STD_FLOOR = 0.02


def with_motion_statistics(
    variables: Mapping[str, Any], mean: Float[np.ndarray, "coeff"], std: Float[np.ndarray, "coeff"]
) -> dict[str, Any]:
    """A copy of a model's variables with the training set's motion statistics (see `MotionScale`)."""
    constants = {
        "mean": jnp.asarray(mean, jnp.float32),
        "std": jnp.maximum(jnp.asarray(std, jnp.float32), STD_FLOOR),
    }
    return {**variables, "constants": {"motion_scale": constants}}
