"""LivePortrait's networks against recordings of the original, as PyTorch and as ONNX."""

import json

import numpy as np
import pytest
from liveportrait_official import PARTS, generator_state, official_state, retargeting_state
from liveportrait_recordings import SEED, recorded
from stage_files import assert_close, export, fill_module, filled_state

from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from lhg_exporters import load_export  # noqa: E402
from lhg_exporters.liveportrait import appearance, generator, motion, retargeting, warping  # noqa: E402
from lhg_exporters.liveportrait.sampling import lattice, sample  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = {
    "appearance": appearance.Appearance,
    "motion": motion.MotionExtractor,
    "warping": warping.Warping,
    "stitching": lambda: retargeting.Retargeting(retargeting.STITCHING),
    "stitching.eye": lambda: retargeting.Retargeting(retargeting.EYE),
    "stitching.lip": lambda: retargeting.Retargeting(retargeting.LIP),
}


def tolerances(shared, name: str, case: str) -> dict[str, float]:
    """Ten times the original's own rounding, relative to the largest value."""
    cases = json.loads((shared / "golden/cases.json").read_text())["cases"]
    (found,) = [c for c in cases if (c["model"], c["case"]) == (f"liveportrait_{name}", case)]
    return {key: 10 * value["rel_to_absmax"] for key, value in found["f32_vs_f64"].items()}


def noise(shared, key: str, shape: list[int]) -> np.ndarray:
    """An input that the recordings name by its seed alone."""
    entry = {"key": key, "shape": shape, "rule": "vector", "dtype": "float32"}
    return fill_module(shared).fill_one(entry, SEED)


def network(shared, name: str):
    """With the recording's weights, in evaluation mode."""
    net = NETWORKS[name]()
    net.load_state_dict(filled_state(shared, f"liveportrait_{name}", SEED))
    return net.eval().requires_grad_(False)


def pixels(images_uint8: np.ndarray):
    batch = images_uint8.reshape(-1, *images_uint8.shape[-3:])
    return torch.from_numpy(batch.astype(np.float32) / 255).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_is_the_official_one(shared, name):
    entries = json.loads((shared / f"golden/liveportrait_{name}.manifest.json").read_text())["entries"]
    ours = {key: list(x.shape) for key, x in NETWORKS[name]().state_dict().items()}
    assert ours == {entry["key"]: entry["shape"] for entry in entries}


def test_generator_has_the_official_tensors_once_spectral_norm_is_folded(shared):
    entries = json.loads((shared / "golden/liveportrait_spade.manifest.json").read_text())["entries"]
    official = {entry["key"]: torch.ones(entry["shape"]) for entry in entries}
    ours = {key: x.shape for key, x in generator.Generator().state_dict().items()}
    assert ours == {key: x.shape for key, x in generator.fold_spectral_norm(official).items()}


@pytest.mark.parametrize("name", ["stitching", "stitching.eye", "stitching.lip"])
def test_retargeting_equals_recording(shared, name):
    data = recorded(shared, name, "a")
    found = network(shared, name)(torch.from_numpy(data["in_feature"]))
    assert_close(found.numpy(), data["out_delta"], tolerances(shared, name, "a")["delta"])


@pytest.mark.slow
def test_appearance_equals_recording(shared):
    data, allowed = recorded(shared, "appearance", "a"), tolerances(shared, "appearance", "a")
    found = network(shared, "appearance")(pixels(data["in_image_uint8"])).numpy()
    assert_close(found[:, :, ::2, ::4, ::4], data["out_feature_sub"], allowed["feature_sub"])
    assert_close(found[:, ::8, :, 24:40, 24:40], data["out_feature_crop"], allowed["feature_crop"])
    assert_close(found.mean(axis=(3, 4), dtype=np.float64), data["out_feature_mean"], allowed["feature_mean"])


def test_motion_equals_recording(shared):
    data, allowed = recorded(shared, "motion", "a"), tolerances(shared, "motion", "a")
    net = network(shared, "motion")
    image = pixels(data["in_image_uint8"])
    for name, found in zip(motion.HEADS, net(image), strict=True):
        assert_close(found.numpy(), data[f"out_{name}"], allowed[name])
    assert_close(net.detector.pool(image).numpy(), data["out_pooled"], allowed["pooled"])


def warping_case(shared, case: str, shape: list[int]):
    data = recorded(shared, "warping", case)
    feature = torch.from_numpy(noise(shared, f"warping.{case}.feature_3d", shape))
    return data, feature, torch.from_numpy(data["in_kp_driving"]), torch.from_numpy(data["in_kp_source"])


@pytest.mark.slow
def test_warping_of_two_frames_equals_recording(shared):
    data, feature, driving, source = warping_case(shared, "b2_32x64", [2, 32, 16, 32, 64])
    allowed, net = tolerances(shared, "warping", "b2_32x64"), network(shared, "warping")
    deformation, occlusion = net.dense_motion_network(feature, driving, source)
    assert_close(
        deformation[:, ::2, ::4, ::4].numpy(), data["out_deformation_sub"], allowed["deformation_sub"]
    )
    assert_close(occlusion.numpy(), data["out_occlusion"], allowed["occlusion"])
    found = net(feature, driving, source)[:, :, ::4, ::4].numpy()
    assert_close(found, data["out_out_sub"], allowed["out_sub"])


@pytest.mark.slow
def test_warping_at_full_size_equals_recording(shared):
    data, feature, driving, source = warping_case(shared, "a", [1, 32, 16, 64, 64])
    allowed, net = tolerances(shared, "warping", "a"), network(shared, "warping")
    seen, _ = net.dense_motion_network.describe(feature, driving, source)
    assert_close(seen[:, :, ::4, ::8, ::8].numpy(), data["out_input_sub"], allowed["input_sub"])
    found = net(feature, driving, source).numpy()
    assert_close(found[:, :, ::4, ::4], data["out_out_sub"], allowed["out_sub"])
    assert_close(found[:, ::8, 24:40, 24:40], data["out_out_crop"], allowed["out_crop"])


def spade_network(shared):
    net = generator.Generator()
    net.load_state_dict(generator.fold_spectral_norm(generator_state(shared)))
    return net.eval().requires_grad_(False)


@pytest.mark.slow
def test_generator_of_two_frames_equals_recording(shared):
    data, allowed = recorded(shared, "spade", "b2_16x24"), tolerances(shared, "spade", "b2_16x24")
    feature = torch.from_numpy(noise(shared, "spade.b2_16x24.feature", [2, 256, 16, 24]))
    found = spade_network(shared)(feature).numpy()
    assert_close(found[:, :, ::2, ::2], data["out_image"], allowed["image"])


@pytest.mark.slow
def test_generator_at_full_size_equals_recording(shared):
    data, allowed = recorded(shared, "spade", "a"), tolerances(shared, "spade", "a")
    feature = torch.from_numpy(noise(shared, "spade.a.feature", [1, 256, 64, 64]))
    found = spade_network(shared)(feature).numpy()
    assert_close(found[:, :, ::4, ::4], data["out_image_sub"], allowed["image_sub"])
    assert_close(found[:, :, 224:288, 224:288], data["out_image_crop"], allowed["image_crop"])


def test_sampling_equals_grid_sample():
    random = torch.Generator().manual_seed(3)
    volume = torch.randn(2, 3, 4, 5, 6, generator=random)
    at = 2.4 * torch.rand(2, 2, 4, 7, 5, 3, generator=random) - 1.2  # beyond the border too
    found = sample(volume, at)
    for copy in range(2):
        want = functional.grid_sample(volume, at[:, copy], align_corners=False)
        torch.testing.assert_close(found[:, copy], want, atol=1e-5, rtol=1e-5)


def test_equal_keypoints_leave_the_lattice():
    torch.manual_seed(0)
    net = warping.DenseMotion().eval().requires_grad_(False)
    feature, kp = torch.randn(1, 32, 16, 32, 32), torch.rand(1, 21, 3) - 0.5
    seen, motions = net.describe(feature, kp, kp)
    assert seen.reshape(1, 22, 5, -1)[:, :, 0].abs().max() == 0  # no heat
    want = lattice((16, 32, 32), feature)
    torch.testing.assert_close(motions, want.expand(motions.shape), atol=1e-6, rtol=0)


def test_spectral_norm_uses_the_stored_vectors():
    state = {
        "c.weight_orig": torch.randn(4, 3, 2, 2),
        "c.weight_u": torch.randn(4),
        "c.weight_v": torch.randn(12),
    }
    folded = generator.fold_spectral_norm(state)["c.weight"]
    doubled = generator.fold_spectral_norm(state | {"c.weight_orig": 2 * state["c.weight_orig"]})["c.weight"]
    torch.testing.assert_close(doubled, folded)
    halved = generator.fold_spectral_norm(state | {"c.weight_u": 2 * state["c.weight_u"]})["c.weight"]
    torch.testing.assert_close(halved, folded / 2)


def test_retargeting_from_its_official_file_and_as_onnx(shared, tmp_path):
    path = tmp_path / "stitching_retargeting_module.pth"
    torch.save(retargeting_state(shared), path)
    for name, stage in zip(PARTS.values(), ("stitching", "eye", "lip"), strict=True):
        data = recorded(shared, name, "a")
        exported = interop.load(export(f"liveportrait_{stage}", path, tmp_path / f"{stage}.onnx"))
        found = exported(feature=data["in_feature"])["delta"]
        assert_close(found, data["out_delta"], tolerances(shared, name, "a")["delta"])
        assert exported.metadata["licence"] == "MIT"


def test_files_without_the_counters_of_batch_norms_load(shared, tmp_path):
    state = filled_state(shared, "liveportrait_appearance", SEED)
    path = tmp_path / "appearance_feature_extractor.pth"
    torch.save({k: x for k, x in state.items() if not k.endswith("num_batches_tracked")}, path)
    loaded = load_export("liveportrait_appearance", path).module.state_dict()
    assert all(torch.equal(loaded[key], x) for key, x in state.items())


def test_mixed_up_files_are_refused(shared, tmp_path):
    path = tmp_path / "motion_extractor.pth"
    torch.save(filled_state(shared, "liveportrait_appearance", SEED), path)
    with pytest.raises(UserError, match=r"motion_extractor.pth: not weights of MotionExtractor \(missing: "):
        load_export("liveportrait_motion", path)
    with pytest.raises(UserError, match="holds no network 'retarget_eye'"):
        load_export("liveportrait_eye", path)


def appearance_onnx(shared, stage) -> list[tuple]:
    data = recorded(shared, "appearance", "a")
    found = stage(image=pixels(data["in_image_uint8"]).numpy())["feature"]
    return [("appearance", "feature_crop", found[:, ::8, :, 24:40, 24:40], data)]


def motion_onnx(shared, stage) -> list[tuple]:
    data = recorded(shared, "motion", "a")
    found = stage(image=pixels(data["in_image_uint8"]).numpy())
    return [("motion", name, found[name], data) for name in motion.HEADS]


def warping_onnx(shared, stage) -> list[tuple]:
    data, feature, driving, source = warping_case(shared, "a", [1, 32, 16, 64, 64])
    found = stage(feature=feature.numpy(), kp_driving=driving.numpy(), kp_source=source.numpy())["warped"]
    crops = {"out_sub": found[:, :, ::4, ::4], "out_crop": found[:, ::8, 24:40, 24:40]}
    return [("warping", key, crop, data) for key, crop in crops.items()]


def generator_onnx(shared, stage) -> list[tuple]:
    found = stage(warped=noise(shared, "spade.a.feature", [1, 256, 64, 64]))["image"]
    crops = {"image_sub": found[:, :, ::4, ::4], "image_crop": found[:, :, 224:288, 224:288]}
    return [("spade", key, crop, recorded(shared, "spade", "a")) for key, crop in crops.items()]


IN_ONNX = {
    "appearance": appearance_onnx,
    "motion": motion_onnx,
    "warping": warping_onnx,
    "generator": generator_onnx,
}


@pytest.mark.slow  # minutes: the networks at full size through two runtimes
@pytest.mark.parametrize("name", IN_ONNX)
def test_official_file_as_onnx_equals_recording(shared, tmp_path, name):
    torch.save(official_state(shared, name), tmp_path / "official.pth")
    stage = interop.load(export(f"liveportrait_{name}", tmp_path / "official.pth", tmp_path / f"{name}.onnx"))
    assert float(stage.metadata["largest_relative_difference"]) < 1e-3
    for network, key, found, data in IN_ONNX[name](shared, stage):
        assert_close(found, data[f"out_{key}"], tolerances(shared, network, "a")[key])
