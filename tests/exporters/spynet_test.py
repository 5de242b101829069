"""SpyNet against recordings of the original, and the conventions that they would show broken."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from rvrt_weights import recording  # noqa: E402
from torch.nn import functional  # noqa: E402

from lhg_exporters.rvrt import spynet as module  # noqa: E402
from lhg_exporters.rvrt.spynet import SpyNet  # noqa: E402

TOLERANCE = {"50x70": 1.3e-5, "64x64": 5.9e-6}  # ten times float32 against float64 of the original


def error(shared, case: str) -> float:
    """Relative to the largest flow."""
    arrays, state = recording(shared, "rvrt_spynet", case)
    net = SpyNet().eval()
    net.load_state_dict(state)
    ref, supp = (
        torch.from_numpy(arrays[f"in_{name}_uint8"]).permute(2, 0, 1)[None].float() / 255
        for name in ("ref", "supp")
    )
    with torch.inference_mode():
        found = net(ref, supp).numpy()
    return float(np.abs(found - arrays["out_flow"]).max() / np.abs(arrays["out_flow"]).max())


@pytest.mark.parametrize("case", TOLERANCE)
def test_flow_equals_recording(case, shared):
    assert error(shared, case) <= TOLERANCE[case]


def swapped_corners(image, size, align_corners=False):
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=not align_corners)


def all_half_pixel(image, size, align_corners=False):
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("resize", swapped_corners),
        ("resize", all_half_pixel),
        ("warp", lambda image, flow, padding: module_warp(image, flow, "zeros")),
        ("warp", lambda image, flow, padding: module_warp(image, flow.flip(1), padding)),
    ],
)
def test_wrong_readings_miss_the_recording(name, wrong, shared, monkeypatch):
    monkeypatch.setattr(module, name, wrong)
    assert error(shared, "50x70") > 100 * TOLERANCE["50x70"]


module_warp = module.warp


def test_constant_flow_doubles_from_level_to_level_and_is_scaled_to_the_image():
    net = SpyNet().eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.zero_()
    net.basic_module[0].basic_module[-1].bias[:] = torch.tensor([1.0, -2.0])
    image = torch.rand(1, 3, 40, 50)  # resized to 64 x 64
    flow = net(image, image)
    torch.testing.assert_close(flow[:, 0], torch.full((1, 40, 50), 32 * 50 / 64))
    torch.testing.assert_close(flow[:, 1], torch.full((1, 40, 50), -64 * 40 / 64))


@pytest.mark.parametrize("size", [(1, 1), (20, 33), (32, 32)])
def test_small_images_have_flow_too(size):
    torch.manual_seed(0)
    flow = SpyNet().eval()(torch.rand(2, 3, *size), torch.rand(2, 3, *size))
    assert flow.shape == (2, 2, *size) and torch.isfinite(flow).all()
