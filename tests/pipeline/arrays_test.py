import numpy as np
import pytest

from lhg_jax.pipeline.arrays import require_images, require_sound
from lhg_jax.util.errors import UserError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mono_floats_are_sound(dtype):
    require_sound(np.random.default_rng(0).uniform(-1, 1, 50).astype(dtype), "clip")


@pytest.mark.parametrize("wave", [np.zeros(50, np.int16), np.zeros((50, 2), np.float32), np.zeros(50, bool)])
def test_other_sound_is_named(wave):
    with pytest.raises(UserError, match=f"^clip: sound must be floats in .* not {wave.dtype} "):
        require_sound(wave, "clip")


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 4, 5, 3)])
def test_pictures(shape):
    images = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    require_images(images, "portrait", len(shape))
    for wrong in (images / 255, images[..., :1], images[0], images[None], images.astype(np.int16)):
        with pytest.raises(UserError, match=r"^portrait: pictures must be RGB, uint8 \[.*3\], not"):
            require_images(wrong, "portrait", len(shape))
