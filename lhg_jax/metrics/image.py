"""PSNR and SSIM of frames, as `piq` 0.8 computes them for the ViCo challenge (Wang et al. 2004).

Frames are whole, 8-bit RGB, and compared at their own size; each frame gives one number.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

PEAK = 255.0
PSNR_FLOOR = 1e-8  # added to the mean squared error, so that identical frames give 80 dB
WINDOW = 11  # taps of the Gaussian, pixels
SIGMA = 1.5  # of the Gaussian, pixels
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]
REFERENCE_SIZE = 256  # SSIM looks at images of about this many pixels on their shorter side


def psnr(
    a: UInt8[Array | np.ndarray, "frames height width 3"],
    b: UInt8[Array | np.ndarray, "frames height width 3"],
) -> Float[np.ndarray, "frames"]:
    """Peak signal-to-noise ratio of each pair of frames, dB in [0, 80], float64 from exact sums."""
    squares = np.asarray(_row_squares(a, b)).sum(axis=1, dtype=np.int64)
    mse = squares / (np.prod(a.shape[1:]) * PEAK**2)
    return -10 * np.log10(mse + PSNR_FLOOR)


@jax.jit
def _row_squares(a: Array, b: Array) -> Int[Array, "frames height"]:
    """Squared differences summed over each row; fits 31 bits up to 11,000 pixels a row."""
    return jnp.sum(jnp.square(a.astype(jnp.int32) - b.astype(jnp.int32)), axis=(2, 3))


@jax.jit
def ssim(
    a: UInt8[Array | np.ndarray, "frames height width 3"],
    b: UInt8[Array | np.ndarray, "frames height width 3"],
) -> Float[Array, "frames"]:
    """Structural similarity of each pair of frames, in [-1, 1]; 1 for equal frames.

    Frames are average-pooled by `pooling_factor` (so 384 pixels are compared at 192), then windowed without
    padding; the mean runs over positions and the three channels.

    Raises:
      ValueError: frames smaller than the window.
    """
    factor = pooling_factor(a.shape[1], a.shape[2])
    if min(a.shape[1], a.shape[2]) // factor < WINDOW:
        raise ValueError(f"SSIM needs frames of {WINDOW} x {WINDOW} pixels or more, not {a.shape[1:3]}")
    # Frame by frame: what one frame needs stays in the cache.
    return jax.lax.map(lambda pair: _ssim_of_planes(*(_planes(image, factor) for image in pair)), (a, b))


def _ssim_of_planes(x: Float[Array, "3 height width"], y: Float[Array, "3 height width"]) -> Float[Array, ""]:
    mean_x, mean_y = _blur(x), _blur(y)
    square_sum = jnp.square(mean_x) + jnp.square(mean_y)
    variances = _blur(jnp.square(x) + jnp.square(y)) - square_sum
    covariance = _blur(x * y) - mean_x * mean_y
    # Moments are taken about mid-grey, which keeps their digits in float32; the means are moved back.
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2 * mean_x * mean_y + C1) / (jnp.square(mean_x) + jnp.square(mean_y) + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return jnp.mean(luminance * structure)


def pooling_factor(height: int, width: int) -> int:
    """By how much SSIM shrinks images: the shorter side over 256, rounded half to even, at least 1."""
    return max(1, round(min(height, width) / REFERENCE_SIZE))


def _planes(image: UInt8[Array, "height width 3"], factor: int) -> Float[Array, "3 height2 width2"]:
    """Channels as planes in [-0.5, 0.5], average-pooled; a ragged rest is dropped."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    planes = jnp.moveaxis(image[: height * factor, : width * factor], 2, 0).astype(jnp.float32)
    blocks = planes.reshape(3, height, factor, width, factor)
    return jnp.mean(blocks, axis=(2, 4)) / PEAK - 0.5


def _blur(planes: Float[Array, "3 height width"]) -> Float[Array, "3 height2 width2"]:
    """Gaussian window without padding, as one matrix for each axis."""
    rows, columns = (jnp.asarray(_window_matrix(size)) for size in planes.shape[1:])
    return jnp.einsum("oh,chw,pw->cop", rows, planes, columns, precision="highest")


def _window_matrix(size: int) -> Float[np.ndarray, "outputs size"]:
    """Row i weighs the `WINDOW` values from i on by the Gaussian."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2))
    matrix = np.zeros((size - WINDOW + 1, size), np.float32)
    for row in range(len(matrix)):
        matrix[row, row : row + WINDOW] = weights / weights.sum()
    return matrix
