"""RVRT against recordings of the original, and what it does between its parts."""

import json
from pathlib import Path

import numpy as np
import pytest
from stage_files import export

from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

torch = pytest.importorskip("torch")
from rvrt_weights import TINY, TINY_DENOISER, errors, random_network, recording, video  # noqa: E402
from torch.nn import functional  # noqa: E402

from lhg_exporters import load_export  # noqa: E402
from lhg_exporters.rvrt import network  # noqa: E402
from lhg_exporters.rvrt.deformable_attention import GuidedDeformableAttention  # noqa: E402
from lhg_exporters.rvrt.network import BRANCHES, RVRT, RVRTConfig  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

# Ten times the difference of the original between float32 and float64 (golden/README.md), relative.
CASES = {
    ("rvrt_sr_small", "t6_64"): {"out_out_crop": 5.7e-6, "out_out_sub4": 6.4e-6},
    ("rvrt_deblur_small", "t4_136x144"): {"out_out": 5.6e-6},
    ("rvrt_denoise_small", "t4_136"): {"out_out": 1.0e-5},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_network_equals_recording(case, shared):
    arrays, state = recording(shared, *case)
    net = RVRT(RVRTConfig.from_state(state)).eval()
    net.load_state_dict(state)
    given = torch.from_numpy(video(arrays))
    with torch.inference_mode():
        rgb = given[:, :, :3]
        to_next, to_previous = net.flows(rgb if net.config.enlarges else network.quarter(rgb))
        restored = net(given).numpy()
    found = errors(arrays, restored)
    assert found.keys() == CASES[case].keys()
    assert all(error <= CASES[case][name] for name, error in found.items()), found
    for flow, name in ((to_next, "out_flows_backward"), (to_previous, "out_flows_forward")):
        want = arrays[name]
        assert np.abs(flow.numpy() - want).max() <= 6e-6 * np.abs(want).max()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_exported_network_equals_recording(case, shared, tmp_path):
    arrays, state = recording(shared, *case)
    torch.save({"params": state}, tmp_path / "official.pth")
    given = video(arrays)
    tile = tuple(given.shape[i] for i in (1, 3, 4))
    stage = interop.load(export("rvrt", tmp_path / "official.pth", tmp_path / "rvrt.onnx", tile=tile))
    found = errors(arrays, stage(video=given)["restored"])
    assert all(error <= CASES[case][name] for name, error in found.items()), found
    assert "CC BY-NC" in stage.metadata["licence"] and "RVRT" in stage.metadata["source"]


@pytest.mark.parametrize("number", range(1, 7))
def test_every_released_task_is_known_by_its_shapes(number, shared):
    manifest = json.loads((shared / f"specs/rvrt_{number:03d}.manifest.json").read_text())
    with torch.device("meta"):
        official = {e["key"]: torch.empty(e["shape"]) for e in manifest["tensors"]}
        config = RVRTConfig.from_state(official)
        net = RVRT(config)
    assert {name: list(x.shape) for name, x in net.state_dict().items()} == {
        e["key"]: e["shape"] for e in manifest["tensors"]
    }
    assert sum(x.numel() for x in net.parameters()) == manifest["parameters"]
    assert list(config.groups) == manifest["config"]["inputconv_groups"]
    assert config.enlarges == (manifest["config"]["upscale"] == 4)


def test_bicubic_quarter_does_not_antialias():
    image = torch.rand(1, 1, 3, 16, 20)
    taps = torch.tensor([-0.09375, 0.59375, 0.59375, -0.09375])
    blocks = image[0, 0].reshape(3, 4, 4, 5, 4)
    want = torch.einsum("ciajb,a,b->cij", blocks, taps, taps)
    torch.testing.assert_close(network.quarter(image)[0, 0], want, atol=1e-6, rtol=0)


def test_first_alignments_add_up_flows_along_the_way():
    flow = torch.zeros(1, 5, 2, 6, 7)  # six frames, three clips
    flow[0, :, 0] = torch.tensor([1.0, 0, 0, 2, 0])[:, None, None]
    flow[0, :, 1] = torch.tensor([0.0, 1, 0, 0, 1])[:, None, None]
    same, other = network.first_alignments(flow)
    assert same.shape == other.shape == (2, 1, 2, 2, 6, 7)

    def at(x, clip, frame):
        return x[clip, 0, frame, :, 2, 2].tolist()

    assert at(same, 0, 0) == [1, 1] and at(other, 0, 0) == [0, 1]  # 2 -> 0 and 2 -> 1
    assert at(same, 0, 1) == [0, 1] and at(other, 0, 1) == [1, 1]  # 3 -> 1 and 3 -> 0
    assert at(same, 1, 0) == [2, 0] and at(other, 1, 0) == [2, 0]
    assert at(same, 1, 1) == [2, 1] and at(other, 1, 1) == [2, 1]


def test_a_flow_through_another_is_read_where_the_first_points():
    generator = torch.Generator().manual_seed(0)
    second = torch.randn(1, 1, 2, 6, 7, generator=generator)
    first = torch.zeros(1, 1, 2, 6, 7)
    first[:, :, 0] = 2.0  # two pixels to the right
    found = network.through(first, second)[0, 0]
    torch.testing.assert_close(found[:, :, :5], second[0, 0, :, :, 2:] + first[0, 0, :, :, :5])
    torch.testing.assert_close(found[:, :, 5:], first[0, 0, :, :, 5:])  # outside the image there is no flow


def in_order(name: str, x_BTCHW) -> list:
    """Clips of features in the order of time, as a branch goes through them."""
    return list((x_BTCHW.flip(1) if name.startswith("backward") else x_BTCHW).split(2, dim=1))


def test_branches_pass_on_what_they_should(monkeypatch):
    """Queries, keys, states and flows of every alignment, as the order of processing demands."""
    net, calls, refined = random_network(TINY), [], {}
    inner = GuidedDeformableAttention.forward
    names = {net.deform_align[name]: name for name in BRANCHES}

    def spy(self, *arguments):
        result = inner(self, *arguments)
        calls.append((names[self], arguments, result))
        return result

    monkeypatch.setattr(GuidedDeformableAttention, "forward", spy)
    for name, part in (*net.backbone.items(), ("reconstruction", net.reconstruction)):
        part.register_forward_hook(
            lambda _, seen, out, name=name: refined.setdefault(name, []).append((seen[0], out))
        )
    given = torch.rand(1, 6, 3, 12, 14)
    with torch.inference_mode():
        net(given)
        features = {"shallow": net.shallow(given)}
    assert [name for name, _, _ in calls] == [name for name in BRANCHES for _ in range(2)]
    for i, name in enumerate(BRANCHES):
        states = [seen[:, :, -12:] + out for seen, out in refined[name]]
        earlier = in_order(name, torch.cat(list(features.values()), dim=2))
        last = in_order(name, list(features.values())[-1])
        assert not refined[name][0][0][:, :, -12:].any()  # nothing comes before the first clip
        for c, (seen, _) in enumerate(refined[name]):
            torch.testing.assert_close(seen[:, :, :-12], earlier[c])
        for step in (1, 2):
            _, (query, key, value, same, other), (aligned, *_) = calls[2 * i + step - 1]
            torch.testing.assert_close(query, last[step])
            torch.testing.assert_close(key, last[step - 1])
            torch.testing.assert_close(value, states[step - 1])
            torch.testing.assert_close(refined[name][step][0][:, :, -12:], aligned)
            if name.endswith("_2"):  # flows as the first branch of this direction has left them
                _, _, (_, improved_same, improved_other) = calls[2 * (i - 2) + step - 1]
                torch.testing.assert_close(same, improved_same)
                torch.testing.assert_close(other, improved_other)
        features[name] = torch.cat(in_order(name, torch.cat(states, dim=1)), dim=1)
    torch.testing.assert_close(refined["reconstruction"][0][0], torch.cat(list(features.values()), dim=2))


def test_a_mirrored_video_does_not_change_the_next_one():
    half, other = torch.rand(1, 2, 3, 12, 14), torch.rand(1, 4, 3, 12, 14)
    net = random_network(TINY)
    with torch.inference_mode():
        fresh = net(other)
        to_next, to_previous = net.flows(torch.cat([half, half.flip(1)], dim=1))
        net(torch.cat([half, half.flip(1)], dim=1))
        assert torch.equal(net(other), fresh)
    torch.testing.assert_close(to_previous, to_next.flip(1))


def test_upsampler_ends_in_two_convolutions_and_adds_the_input():
    """Pixels are shuffled twice; what is added is the input, bilinear between centres of pixels."""
    net, given = random_network(TINY), torch.rand(1, 2, 3, 10, 11)
    features = {name: torch.randn(1, 2, 12, 10, 11) for name in ("shallow", *BRANCHES)}
    with torch.inference_mode():
        x = net.reconstruction(torch.cat(list(features.values()), dim=2))
        x = functional.leaky_relu(net.conv_before_upsampler[0](x), 0.1)
        for name in ("0", "5"):
            x = net.upsampler[name](x)[0]
            x = functional.leaky_relu(functional.pixel_shuffle(x, 2), 0.1)[None]
        x = net.conv_last(net.upsampler["10"](x))
        torch.testing.assert_close(net.reconstruct(features), x)
        net.conv_last.weight.zero_()
        net.conv_last.bias.zero_()
        found = net(given)
    torch.testing.assert_close(found[..., 2:-2:4, 2:-2:4], shifted(given, 1 / 8))
    torch.testing.assert_close(found[..., 3:-1:4, 3:-1:4], shifted(given, 3 / 8))


def shifted(x, part: float):
    """Each pixel mixed with its neighbours to the right and below."""
    x = (1 - part) * x[..., :-1, :] + part * x[..., 1:, :]
    return (1 - part) * x[..., :-1] + part * x[..., 1:]


def test_activations_leak_a_tenth_but_in_the_flow():
    net = random_network(TINY_DENOISER)
    assert {m.negative_slope for m in net.modules() if isinstance(m, torch.nn.LeakyReLU)} == {0.1}
    assert sum(isinstance(m, torch.nn.ReLU) for m in net.spynet.modules()) == 6 * 4
    x = torch.randn(1, 2, 4, 40, 44)
    y = functional.leaky_relu(net.feat_extract["1"](x), 0.1)
    y = net.feat_extract["6"](functional.leaky_relu(net.feat_extract["3"](y), 0.1))
    torch.testing.assert_close(net.shallow(x), y)


def test_one_clip_and_frames_by_themselves():
    net = random_network(TINY_DENOISER)
    with torch.inference_mode():
        assert net(torch.rand(1, 2, 4, 40, 44)).shape == (1, 2, 3, 40, 44)
        features = {name: torch.randn(1, 4, 12, 10, 11) for name in ("shallow", *BRANCHES)}
        together = net.reconstruct(features)
        for t in range(4):
            alone = net.reconstruct({name: x[:, t : t + 1] for name, x in features.items()})
            torch.testing.assert_close(alone[:, 0], together[:, t])


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rvrt") / "official.pth"
    torch.save({"params": random_network(TINY_DENOISER).state_dict()}, path)
    return path


@pytest.mark.parametrize("tile", [(5, 40, 40), (2, 40, 40), (4, 42, 40), (4, 40, 32)])
def test_tiles_that_cannot_be_are_refused(tile, official):
    with pytest.raises(UserError, match="--tile"):
        load_export("rvrt", official, tile=tile)


def test_sigma_is_kept_for_a_network_that_denoises(official, tmp_path):
    assert load_export("rvrt", official, sigma=25.0).notes == {"sigma": "25"}
    assert load_export("rvrt", official).notes == {}
    with pytest.raises(UserError, match="--sigma 300"):
        load_export("rvrt", official, sigma=300.0)
    torch.save({"params": random_network(TINY).state_dict()}, tmp_path / "larger.pth")
    with pytest.raises(UserError, match="--sigma 25: of a denoising network"):
        load_export("rvrt", tmp_path / "larger.pth", sigma=25.0)


def test_other_files_are_refused_by_name(official, tmp_path):
    torch.save({"params": {"a": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: not weights of RVRT"):
        load_export("rvrt", tmp_path / "other.pth")
    state = torch.load(official, weights_only=True)["params"]
    state["conv_last.bias"] = torch.full((3,), torch.inf)
    del state["deform_align.forward_1.proj_q.1.bias"]
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(
        UserError, match=r"missing: deform_align.forward_1.proj_q.1.bias.*not finite: conv_last"
    ):
        load_export("rvrt", tmp_path / "bad.pth")


@pytest.mark.slow
def test_exported_loops_equal_pytorch(official, tmp_path):
    """The tool compares by itself, and refuses what differs."""
    stage = interop.load(export("rvrt", official, tmp_path / "rvrt.onnx", tile=(6, 40, 44)))
    assert float(stage.metadata["largest_relative_difference"]) < 1e-4
    restored = stage(video=np.random.default_rng(0).random((1, 6, 4, 40, 44), np.float32))["restored"]
    assert restored.shape == (1, 6, 3, 40, 44)
