"""Features of FID: Inception v3 as `pytorch-fid` and `piq` run it (Szegedy et al. 2016; Heusel et al. 2017).

Evaluation only: each batch norm is folded into the convolution before it when weights are loaded. Layout is
[N, H, W, C]. Submodules are named by the keys of `pt_inception-2015-12-05-6726825d.pth`.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from lhg_jax.util.errors import MissingExtraError, UserError
from lhg_jax.weights import check_tree, load_weights

SIZE = 299  # pixels a side that the network sees
FEATURES = 2048
BATCH_NORM_EPSILON = 1e-3


class ConvReLU(nn.Module):
    """Convolution with bias (the folded batch norm) and ReLU."""

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 features"]:
        """SAME pads by half the (odd) kernel; strides above 1 come with VALID."""
        return nn.relu(nn.Conv(self.features, self.kernel, self.stride, self.padding, name="conv")(x))


def _max_pool(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _average_pool(x: Array) -> Array:
    """3x3 at stride 1; the padding is left out of the divisor."""
    return nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


def _concatenate(*branches: Array) -> Array:
    return jnp.concatenate(branches, axis=-1)


class InceptionA(nn.Module):
    """35 x 35."""

    pooled: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c2"]:
        """Branches 1x1, 5x5, double 3x3 and pooling."""
        five = ConvReLU(48, name="branch5x5_1")(x)
        three = ConvReLU(96, (3, 3), name="branch3x3dbl_2")(ConvReLU(64, name="branch3x3dbl_1")(x))
        return _concatenate(
            ConvReLU(64, name="branch1x1")(x),
            ConvReLU(64, (5, 5), name="branch5x5_2")(five),
            ConvReLU(96, (3, 3), name="branch3x3dbl_3")(three),
            ConvReLU(self.pooled, name="branch_pool")(_average_pool(x)),
        )


class InceptionB(nn.Module):
    """35 x 35 -> 17 x 17."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Branches 3x3, double 3x3 and pooling, all at stride 2."""
        three = ConvReLU(96, (3, 3), name="branch3x3dbl_2")(ConvReLU(64, name="branch3x3dbl_1")(x))
        return _concatenate(
            ConvReLU(384, (3, 3), 2, "VALID", name="branch3x3")(x),
            ConvReLU(96, (3, 3), 2, "VALID", name="branch3x3dbl_3")(three),
            _max_pool(x),
        )


class InceptionC(nn.Module):
    """17 x 17, with 7x7 convolutions split in two."""

    hidden: int

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w 768"]:
        """Branches 1x1, 7x7, double 7x7 and pooling."""
        seven = ConvReLU(self.hidden, name="branch7x7_1")(x)
        seven = ConvReLU(self.hidden, (1, 7), name="branch7x7_2")(seven)
        double = ConvReLU(self.hidden, name="branch7x7dbl_1")(x)
        for part, kernel in zip((2, 3, 4), ((7, 1), (1, 7), (7, 1)), strict=True):
            double = ConvReLU(self.hidden, kernel, name=f"branch7x7dbl_{part}")(double)
        return _concatenate(
            ConvReLU(192, name="branch1x1")(x),
            ConvReLU(192, (7, 1), name="branch7x7_3")(seven),
            ConvReLU(192, (1, 7), name="branch7x7dbl_5")(double),
            ConvReLU(192, name="branch_pool")(_average_pool(x)),
        )


class InceptionD(nn.Module):
    """17 x 17 -> 8 x 8."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Branches 3x3, 7x7 then 3x3, and pooling, all at stride 2."""
        seven = ConvReLU(192, name="branch7x7x3_1")(x)
        seven = ConvReLU(192, (1, 7), name="branch7x7x3_2")(seven)
        seven = ConvReLU(192, (7, 1), name="branch7x7x3_3")(seven)
        three = ConvReLU(192, name="branch3x3_1")(x)
        return _concatenate(
            ConvReLU(320, (3, 3), 2, "VALID", name="branch3x3_2")(three),
            ConvReLU(192, (3, 3), 2, "VALID", name="branch7x7x3_4")(seven),
            _max_pool(x),
        )


class InceptionE(nn.Module):
    """8 x 8, with 3x3 convolutions split into two branches; `max_pooled` is FID's change to Mixed_7c."""

    max_pooled: bool

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w 2048"]:
        """Branches 1x1, 3x3, double 3x3 and pooling."""
        three = ConvReLU(384, name="branch3x3_1")(x)
        double = ConvReLU(384, (3, 3), name="branch3x3dbl_2")(ConvReLU(448, name="branch3x3dbl_1")(x))
        pooled = nn.max_pool(x, (3, 3), padding="SAME") if self.max_pooled else _average_pool(x)
        return _concatenate(
            ConvReLU(320, name="branch1x1")(x),
            ConvReLU(384, (1, 3), name="branch3x3_2a")(three),
            ConvReLU(384, (3, 1), name="branch3x3_2b")(three),
            ConvReLU(384, (1, 3), name="branch3x3dbl_3a")(double),
            ConvReLU(384, (3, 1), name="branch3x3dbl_3b")(double),
            ConvReLU(192, name="branch_pool")(pooled),
        )


class Inception(nn.Module):
    """The network up to its last pooling."""

    @nn.compact
    def __call__(self, x: Float[Array, "n 299 299 3"]) -> Float[Array, "n 2048"]:
        """Images in [-1, 1] to features."""
        x = ConvReLU(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)
        x = ConvReLU(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = _max_pool(ConvReLU(64, (3, 3), name="Conv2d_2b_3x3")(x))
        x = ConvReLU(80, name="Conv2d_3b_1x1")(x)
        x = _max_pool(ConvReLU(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x))
        for letter, pooled in zip("bcd", (32, 64, 64), strict=True):
            x = InceptionA(pooled, name=f"Mixed_5{letter}")(x)
        x = InceptionB(name="Mixed_6a")(x)
        for letter, hidden in zip("bcde", (128, 160, 160, 192), strict=True):
            x = InceptionC(hidden, name=f"Mixed_6{letter}")(x)
        x = InceptionD(name="Mixed_7a")(x)
        x = InceptionE(max_pooled=False, name="Mixed_7b")(x)
        x = InceptionE(max_pooled=True, name="Mixed_7c")(x)
        return jnp.mean(x, axis=(1, 2))


@jax.jit
def features(
    params: Mapping[str, Any], images: UInt8[Array | np.ndarray, "n height width 3"]
) -> Float[Array, "n 2048"]:
    """FID features of whole RGB frames: bilinear to 299 x 299 without antialiasing, then [-1, 1]."""
    shape = (images.shape[0], SIZE, SIZE, 3)
    x = jax.image.resize(jnp.asarray(images, jnp.float32), shape, "linear", antialias=False)
    return jnp.asarray(Inception().apply({"params": params}, x * (2 / 255.0) - 1.0))


def load(path: str | os.PathLike) -> dict[str, Any]:
    """Parameters from the official weights, .safetensors or .pth (which needs torch).

    Raises:
      UserError: not readable, or keys or shapes that are not those of the network.
    """
    try:
        params = from_torch(_read(path))
    except KeyError as error:
        raise UserError(f"{path}: weights do not fit the model; missing: {error.args[0]}") from None
    check_tree(path, params, _template())
    return params


def from_torch(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Parameters of `Inception` from a state dict: batch norms folded, the classifier `fc` left out.

    Raises KeyError for a convolution without its batch norm.
    """
    flat = {}
    for key in state:
        if not key.endswith(".conv.weight"):
            continue
        layer = key.removesuffix(".conv.weight")
        norm = {
            name: np.asarray(state[f"{layer}.bn.{name}"], np.float64)
            for name in ("weight", "bias", "running_mean", "running_var")
        }
        scale = norm["weight"] / np.sqrt(norm["running_var"] + BATCH_NORM_EPSILON)
        kernel = np.asarray(state[key], np.float64).transpose(2, 3, 1, 0) * scale
        path = (*layer.split("."), "conv")
        flat[*path, "kernel"] = kernel.astype(np.float32)
        flat[*path, "bias"] = (norm["bias"] - norm["running_mean"] * scale).astype(np.float32)
    return flax.traverse_util.unflatten_dict(flat)


@functools.cache
def _template() -> dict[str, Any]:
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    return jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]


def _read(path: str | os.PathLike) -> Mapping[str, np.ndarray]:
    if Path(path).suffix == ".safetensors":
        return load_weights(path)[0]  # flat: names of PyTorch have dots, not slashes
    try:
        from lhg_exporters.checkpoints import read_state
    except ImportError:
        raise MissingExtraError(f"{path}: reading .pth files", "torch") from None
    return {name: tensor.detach().numpy() for name, tensor in read_state(path).items()}
