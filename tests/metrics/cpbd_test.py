import numpy as np
import pytest
from metrics_loops import cpbd_by_loops

from lhg_jax.metrics import cpbd


def pictures():
    """Grey pictures of many kinds, uint8, about 20."""
    from scipy import ndimage

    rng = np.random.default_rng(3)
    y, x = np.mgrid[:130, :140]
    yield "flat", np.full((128, 128), 90, np.uint8)
    for size in (3, 8, 16):
        yield f"chequered {size}", ((y // size + x // size) % 2 * 200 + 20).astype(np.uint8)
    yield "ramp", (x % 128 * 2).astype(np.uint8)
    yield "vertical ramp", np.clip(y * 2, 0, 255).astype(np.uint8)
    yield "faint", ((x // 16) % 2 * 20 + 100).astype(np.uint8)
    for sigma in (0, 0.7, 1.5, 3, 6):
        for amplitude in (15, 60, 250):
            noise = ndimage.gaussian_filter(rng.normal(size=(129, 193)), sigma)
            noise = (noise - noise.min()) / np.ptp(noise) * amplitude
            yield f"noise {sigma} {amplitude}", noise.astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "grey"), list(pictures()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_equals_the_loops(name, grey):
    assert cpbd.cpbd(grey) == cpbd_by_loops(grey), name


@pytest.mark.parametrize("size", [256, 384])
def test_equals_recordings_of_the_package(shared, size):
    data = np.load(shared / f"golden/image_metrics.katiehill{size}.npz")
    for name in ("gt", "pd"):
        greys = list(cpbd.grey_levels(data[f"in_{name}_uint8"]))
        np.testing.assert_array_equal(greys[0], data[f"in_{name}_gray_uint8_frame0"])
        np.testing.assert_allclose([cpbd.cpbd(grey) for grey in greys], data[f"out_cpbd_{name}"], atol=1e-15)


def test_blur_lowers_it():
    from scipy import ndimage
    from skimage.data import camera

    sharp = camera()[:256, :256]
    values = [cpbd.cpbd(ndimage.gaussian_filter(sharp, sigma)) for sigma in (0, 1, 2)]
    assert values[0] > values[1] + 0.05 > values[2] + 0.1


@pytest.mark.parametrize("shape", [(63, 200), (200, 63), (1, 1), (2, 300)])
def test_frames_below_a_block_give_zero(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert cpbd.cpbd(grey) == 0.0
