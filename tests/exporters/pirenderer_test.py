"""PIRenderer's generator against a recording of the original, and each of its peculiarities by itself.

A plausible wrong reading of the architecture loads the official weights without a complaint, so each has a
test of its own that needs no recording.
"""

import json

import numpy as np
import pytest
from stage_files import export, filled_state

from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from lhg_exporters import load_export  # noqa: E402
from lhg_exporters.pirenderer.editing import ConvBlock, ResidualAdaIN  # noqa: E402
from lhg_exporters.pirenderer.network import PIRenderer  # noqa: E402
from lhg_exporters.pirenderer.norms import AdaIN, LayerNorm2d, activate  # noqa: E402
from lhg_exporters.pirenderer.warping import DecoderBlock, EncoderBlock, warp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

# Differences of the original between float32 and float64, absolute (golden/README.md): what a float64
# evaluation of the same function must show. In float32 the flow's rounding adds up, layer by layer; ten times
# these is recommended for other implementations.
NOISE = {"fake_image": 2e-5, "warp_image": 6e-5, "flow_field": 2.5e-5}
OUTPUTS = ("fake_image", "warp_image", "flow_field")


@pytest.fixture(scope="module")
def recorded(shared) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays of the recording (with the network's inputs as it takes them), and the weights."""
    arrays = dict(np.load(shared / "golden/pirenderer.a.npz"))
    pixels = arrays["in_image_uint8"].astype(np.float32).transpose(2, 0, 1)[None]
    arrays["image"] = (pixels / 255 - np.float32(0.5)) / np.float32(0.5)
    return arrays, filled_state(shared, "pirenderer", int(arrays["weight_seed"]))


@pytest.fixture(scope="module")
def network() -> PIRenderer:
    """Random weights, each of a spread that keeps activations near 1."""
    torch.manual_seed(5)
    net = PIRenderer().eval().requires_grad_(False)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5)
    return net


def assert_near(found, arrays, factor: float) -> None:
    for name, array in zip(OUTPUTS, found, strict=True):
        error = np.abs(np.asarray(array, np.float64) - arrays[f"out_{name}"]).max()
        assert error <= factor * NOISE[name], f"{name}: {error:.2e}"


def test_state_dict_is_the_official_one(shared, network):
    tensors = json.loads((shared / "specs/pirenderer.manifest.json").read_text())["tensors"]
    ours = {name: list(x.shape) for name, x in network.state_dict().items()}
    assert ours == {entry["key"]: entry["shape"] for entry in tensors} and len(ours) == 304
    assert sum(x.numel() for x in network.parameters()) == 22_519_109


@pytest.mark.slow
def test_float64_equals_recording_within_its_own_rounding(recorded):
    arrays, state = recorded
    net = PIRenderer().eval()
    net.load_state_dict(state)
    with torch.inference_mode():
        found = net.double()(
            torch.from_numpy(arrays["image"]).double(), torch.from_numpy(arrays["in_coeff"]).double()
        )
    assert_near(found, arrays, 1.0)


@pytest.mark.slow
def test_official_file_as_pytorch_and_as_onnx_equals_recording(recorded, tmp_path):
    arrays, state = recorded
    path = tmp_path / "epoch_00190_iteration_000400000_checkpoint.pt"
    untrained = {f"module.{name}": torch.zeros_like(x) for name, x in state.items()}
    torch.save({"net_G": untrained, "net_G_ema": state, "current_epoch": 190}, path)
    inputs = {"image": arrays["image"], "window": arrays["in_coeff"]}
    with torch.inference_mode():
        found = load_export("pirenderer", path).module(*map(torch.from_numpy, inputs.values()))
    assert_near(found, arrays, 10.0)

    stage = interop.load(export("pirenderer", path, tmp_path / "pirenderer.onnx"))
    found = stage(**inputs)
    assert_near([found[name] for name in ("fake", "warp", "flow")], arrays, 10.0)
    assert "CC BY-NC" in stage.metadata["licence"] and "PIRender" in stage.metadata["source"]
    two = stage(**{name: np.repeat(x, 2, axis=0) for name, x in inputs.items()})
    np.testing.assert_allclose(two["fake"][1], found["fake"][0], atol=NOISE["fake_image"])


def test_files_that_do_not_fit_are_refused_by_name(network, tmp_path):
    state = dict(network.state_dict())
    del state["warpping_net.flow_out.2.bias"]
    state["mapping_net.first.0.bias"] = torch.zeros(3)
    state["editing_net.decoder.final.model.0.bias"] = torch.full((3,), torch.nan)
    state["extra"] = torch.zeros(1)
    torch.save({"net_G_ema": state}, tmp_path / "w.pt")
    with pytest.raises(UserError) as error:
        load_export("pirenderer", tmp_path / "w.pt")
    for text in (
        "missing: warpping_net.flow_out.2.bias;",
        "unknown: extra;",
        "wrong shape: mapping_net.first.0.bias (3,) instead of (256,);",
        "not finite: editing_net.decoder.final.model.0.bias)",
    ):
        assert text in str(error.value)


def test_first_half_of_a_residual_block_is_dead():
    torch.manual_seed(0)
    block = ResidualAdaIN(8).eval().requires_grad_(False)
    x, z = torch.randn(2, 8, 6, 7), torch.randn(2, 256)
    before = block(x, z)
    for part in (block.conv1, block.norm1):
        for parameter in part.parameters():
            parameter.normal_()
    assert torch.equal(block(x, z), before)
    torch.testing.assert_close(before, x + block.norm2(block.conv2(x), z))


def test_adaptive_norm_by_its_formula():
    torch.manual_seed(1)
    norm = AdaIN(3).eval().requires_grad_(False)
    x, z = torch.randn(2, 3, 5, 4) * 3 + 1, torch.randn(2, 256)
    found = norm(x, z).numpy()
    hidden = np.maximum(norm.mlp_shared[0](z).numpy(), 0)  # ReLU, not the leaky one of the rest
    gamma = hidden @ norm.mlp_gamma.weight.numpy().T + norm.mlp_gamma.bias.numpy()
    beta = hidden @ norm.mlp_beta.weight.numpy().T + norm.mlp_beta.bias.numpy()
    for b in range(2):
        for c in range(3):
            values = x[b, c].numpy()
            normal = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
            np.testing.assert_allclose(found[b, c], normal * (1 + gamma[b, c]) + beta[b, c], atol=1e-5)


def test_layer_norm_is_over_channels_and_pixels_together():
    torch.manual_seed(2)
    norm = LayerNorm2d(3).requires_grad_(False)
    norm.weight.normal_()
    norm.bias.normal_()
    x = torch.randn(2, 3, 4, 5) * torch.tensor([1.0, 5.0, 0.2])[:, None, None] + 2
    flat = x.flatten(1)
    normal = (x - flat.mean(1)[:, None, None, None]) / (flat.var(1, unbiased=False) + 1e-5).sqrt()[
        :, None, None, None
    ]
    torch.testing.assert_close(norm(x), normal * norm.weight + norm.bias, atol=1e-5, rtol=1e-5)


def test_zero_flow_zooms_and_fades_to_grey_at_the_border():
    ones = warp(torch.ones(1, 1, 256, 256), torch.zeros(1, 2, 64, 64))[0, 0]
    torch.testing.assert_close(ones[2:-2, 2:-2], torch.ones(252, 252), atol=1e-4, rtol=0)
    edge = torch.cat([ones[:2, 2:-2].flatten(), ones[-2:, 2:-2].flatten(), ones[2:-2, :2].flatten()])
    torch.testing.assert_close(edge, torch.full_like(edge, 0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(ones[:2, :2], torch.full((2, 2), 0.25), atol=1e-4, rtol=0)
    columns = torch.arange(256.0).expand(1, 1, 256, 256)
    x = torch.arange(256.0)
    zoomed = 256 / 63 * ((x + 0.5) / 4 - 0.5).clamp(0, 63) - 0.5
    found = warp(columns, torch.zeros(1, 2, 64, 64))[0, 0, 128]
    torch.testing.assert_close(found[2:-2], zoomed[2:-2], atol=1e-3, rtol=0)


def test_flow_is_x_then_y_in_pixels_of_its_own_grid():
    y_HW, x_HW = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    image, flow = torch.stack([x_HW, y_HW])[None], torch.zeros(1, 2, 64, 64)
    still = warp(image, flow)
    flow[:, 0], flow[:, 1] = 5 * 63 / 64, -2 * 63 / 64  # times 256 / 63: 20 pixels right, 8 up
    moved = warp(image, flow)
    inside = np.s_[0, :, 30:-30, 30:-30]
    shift = torch.tensor([20.0, -8.0])[:, None, None].expand(2, 196, 196)
    torch.testing.assert_close(moved[inside] - still[inside], shift, atol=1e-3, rtol=0)


def test_norms_stand_before_convolutions_that_warp_and_after_those_that_edit():
    torch.manual_seed(4)
    x, z = torch.randn(2, 4, 8, 6), torch.randn(2, 256)
    down, up = EncoderBlock(4, 5).requires_grad_(False), DecoderBlock(4, 5).requires_grad_(False)

    def halved(x):
        return functional.conv2d(x, down.conv_0.weight, down.conv_0.bias, stride=2, padding=1)

    def doubled(x, conv):  # the official weights are stored [in, out, row, column]
        bias = conv.bias
        return functional.conv_transpose2d(x, conv.weight, bias, stride=2, padding=1, output_padding=1)

    y = halved(activate(down.norm_0(x, z)))
    torch.testing.assert_close(down(x, z), down.conv_1(activate(down.norm_1(y, z))))
    y = up.conv_0(activate(up.norm_0(x, z)))
    y = doubled(activate(up.norm_1(y, z)), up.conv_1) + doubled(activate(up.norm_s(x, z)), up.conv_s)
    assert y.shape == (2, 5, 16, 12)
    torch.testing.assert_close(up(x, z), y)

    edit = ConvBlock(4, 5).requires_grad_(False)
    edit.model[1].weight.normal_()
    edit.model[1].bias.normal_()
    torch.testing.assert_close(edit(x), activate(edit.model[1](edit.model[0](x))))


def test_editing_encoder_pools_after_each_block(network):
    encoder, images = network.editing_net.encoder, torch.randn(1, 6, 16, 16)
    maps = encoder(images)
    torch.testing.assert_close(maps[0], encoder.first(images))
    for i in range(3):
        x = encoder.get_submodule(f"down{i}")(maps[i])
        torch.testing.assert_close(
            maps[i + 1], (x[..., ::2, :] + x[..., 1::2, :]).unfold(3, 2, 2).mean(4) / 2
        )


def test_decoder_reads_its_own_output_before_the_skip(network):
    decoder, z = network.warpping_net.hourglass.decoder, torch.randn(1, 256)
    widths = ((32, 64), (64, 32), (128, 16), (256, 8), (256, 4), (256, 2))
    maps = [torch.randn(1, c, s, s) for c, s in widths]
    joined = decoder(maps, z)
    torch.testing.assert_close(joined[:, 128:], maps[2])
    x = torch.cat([decoder.decoder4(maps[5], z), maps[4]], 1)
    x = torch.cat([decoder.decoder3(x, z), maps[3]], 1)
    torch.testing.assert_close(joined[:, :128], decoder.decoder2(x, z))


def test_upsampling_is_nearest_and_before_the_convolution(network):
    decoder, z = network.editing_net.decoder, torch.randn(1, 256)
    maps = [torch.randn(1, c, s, s) for c, s in ((64, 32), (128, 16), (256, 8), (256, 4))]
    x = maps[3]
    for i in (2, 1, 0):
        x = decoder.get_submodule(f"res{i}")(x, z).repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = decoder.get_submodule(f"up{i}")(x) + decoder.get_submodule(f"jump{i}")(maps[i])
    torch.testing.assert_close(decoder(maps, z), torch.tanh(decoder.final["model"][0](x)))


def test_activations_leak_a_tenth():
    torch.testing.assert_close(activate(torch.tensor([-1.0, 2.0])), torch.tensor([-0.1, 2.0]))
    slopes = {m.negative_slope for m in PIRenderer().modules() if isinstance(m, torch.nn.LeakyReLU)}
    assert slopes == {0.1}


def test_mapping_crops_its_skips_and_sees_all_frames(network):
    mapping, window = network.mapping_net, torch.randn(1, 73, 27)
    x = functional.conv1d(window, mapping.first[0].weight, mapping.first[0].bias)
    for i in range(3):
        conv = mapping.get_submodule(f"encoder{i}")[1]
        x = (
            functional.conv1d(functional.leaky_relu(x, 0.1), conv.weight, conv.bias, dilation=3)
            + x[:, :, 3:-3]
        )
    assert x.shape[2] == 3
    torch.testing.assert_close(mapping(window), x.mean(2))


def test_results_do_not_depend_on_batch_mates(network):
    torch.manual_seed(3)
    image, window = torch.rand(3, 3, 64, 64) * 2 - 1, torch.randn(3, 73, 27)
    together = network(image, window)
    for i in range(3):
        for one, all_ in zip(network(image[i : i + 1], window[i : i + 1]), together, strict=True):
            torch.testing.assert_close(one[0], all_[i], atol=2e-4, rtol=1e-4)
