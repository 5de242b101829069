import importlib.util
import sys
import types
from unittest import mock

import jax
import numpy as np
import pytest

from lhg_jax.metrics import image


def pair(height, width, frames=2, seed=0):
    """Smooth frames and noisy copies of them, uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (frames, -(-height // 8), -(-width // 8), 3))
    a = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)[:, :height, :width]
    noisy = a + rng.normal(0, 12, a.shape)
    return np.clip(a, 0, 255).astype(np.uint8), np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [256, 384])
def test_equals_recordings_of_piq(shared, size):
    data = np.load(shared / f"golden/image_metrics.katiehill{size}.npz")
    truth, prediction = data["in_gt_uint8"], data["in_pd_uint8"]
    np.testing.assert_allclose(image.psnr(truth, prediction), data["out_psnr"], atol=1e-9)
    np.testing.assert_allclose(image.ssim(truth, prediction), data["out_ssim"], atol=2e-6)


@pytest.mark.parametrize("size", [(128, 128), (131, 77), (385, 391), (640, 648)])
def test_equals_piq(size, monkeypatch):
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:  # piq imports it, for other metrics than these
        monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=mock.MagicMock()))
        monkeypatch.setitem(sys.modules, "torchvision.models", mock.MagicMock())
    piq = pytest.importorskip("piq", reason="piq is not installed (it is the reference, no dependency)")
    a, b = pair(*size)
    planes = [torch.from_numpy(x.transpose(0, 3, 1, 2)).double() / 255 for x in (a, b)]
    psnr = piq.psnr(*planes, reduction="none").numpy()
    ssim = piq.ssim(*planes, data_range=1.0, reduction="none").numpy()
    np.testing.assert_allclose(image.psnr(a, b), psnr, atol=1e-9)
    np.testing.assert_allclose(image.ssim(a, b), ssim, atol=2e-6)


def test_equals_skimage_where_nothing_is_pooled():
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pair(90, 101, frames=1)
    expected = metrics.structural_similarity(
        a[0] / 255, b[0] / 255, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1,
    )  # fmt: skip
    np.testing.assert_allclose(image.ssim(a, b), [expected], atol=1e-6)


def test_equal_frames():
    a, _ = pair(64, 64)
    np.testing.assert_allclose(image.psnr(a, a), 80.0, atol=1e-12)
    np.testing.assert_allclose(image.ssim(a, a), 1.0, atol=1e-6)


def test_black_against_white():
    black, white = np.zeros((1, 32, 40, 3), np.uint8), np.full((1, 32, 40, 3), 255, np.uint8)
    np.testing.assert_allclose(image.psnr(black, white), 0.0, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "factor"), [(100, 1), (256, 1), (320, 1), (384, 2), (512, 2), (640, 2), (720, 3)]
)
def test_pooling_rounds_half_to_even(size, factor):
    assert image.pooling_factor(size, 2 * size) == factor


def test_frames_below_the_window_are_refused():
    a, b = pair(10, 64)
    with pytest.raises(ValueError, match="11 x 11"):
        image.ssim(a, b)


def test_a_frame_does_not_see_the_others_of_its_batch():
    a, b = pair(48, 48, frames=3)
    alone = np.concatenate([image.ssim(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(image.ssim(a, b), alone, atol=1e-6)


def test_device_arrays_are_taken():
    a, b = pair(32, 32)
    np.testing.assert_array_equal(image.psnr(jax.device_put(a), jax.device_put(b)), image.psnr(a, b))
