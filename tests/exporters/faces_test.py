"""3DDFA_V2, Deep3DFaceRecon and ArcFace against recordings of the originals, as PyTorch and as ONNX."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stage_files import assert_close, export, filled_state

from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from lhg_exporters import load_export  # noqa: E402
from lhg_exporters.faces.iresnet import DEPTHS, IResNet, depth  # noqa: E402
from lhg_exporters.faces.mobilenet import MobileNet  # noqa: E402
from lhg_exporters.faces.tddfa_statistics import NAME  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Case:
    """A recording of a network.

    Attributes:
      stage: name in `EXPORTS`.
      seed: of the weights; None for the released ones.
      nest: from a state dict to what the official file holds.
      images, recorded: arrays of the recording: what `prepare` makes the network's input, its last output.
      tolerance: to the largest value; ten times the difference of the original in float32 and in float64.
    """

    stage: str
    model: str
    seed: int | None
    nest: Callable[[dict], dict]
    images: str
    recorded: str
    prepare: Callable[[np.ndarray], np.ndarray]
    tolerance: float


def centred(images: np.ndarray) -> np.ndarray:
    return (images / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


CASES = {
    "tddfa": Case(
        "tddfa",
        "mobilenet_3ddfa.images",
        None,
        dict,
        "in_crop_bgr_uint8",
        "out_net_out",
        lambda images: (images - np.float32(127.5)) / 128,
        3e-6,
    ),
    "deep3d": Case(
        "deep3d",
        "deep3d_recon.a",
        91,
        lambda state: {"net_recon": state, "opt_00": {"state": {}, "param_groups": [{"lr": 1e-4}]}},
        "in_image_uint8",
        "out_coeff",
        lambda images: images / np.float32(255),
        4.4e-6,
    ),
    "arcface_r18": Case("arcface", "arcface_r18.a", 81, dict, "in_image_uint8", "out_feat", centred, 1.8e-5),
    "arcface_r100": Case(
        "arcface", "arcface_r100.a", 81, dict, "in_image_uint8", "out_feat", centred, 1.8e-5
    ),
}


def but_slow(names, slow: set[str]):
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in names]


@pytest.fixture(scope="module")
def official(shared, tmp_path_factory) -> Callable[[str], Path]:
    """The official file of a case."""

    def make(name: str) -> Path:
        case, path = CASES[name], folder / f"{name}.pth"
        if case.seed is None:
            return shared / "weights/3ddfa_v2/mb05_120x120.pth"
        if not path.exists():
            state = filled_state(shared, case.model.rpartition(".")[0], case.seed)
            torch.save(case.nest(state), path)
        return path

    folder = tmp_path_factory.mktemp("official")
    return make


def recorded(shared: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What the network was given, and what it gave."""
    case = CASES[name]
    arrays = np.load(shared / f"golden/{case.model}.npz")
    images = case.prepare(arrays[case.images].astype(np.float32).transpose(0, 3, 1, 2))
    return np.ascontiguousarray(images), arrays[case.recorded]


@pytest.mark.parametrize("name", but_slow(CASES, {"arcface_r100"}))
def test_network_equals_recording(name, official, shared):
    images, expected = recorded(shared, name)
    with torch.inference_mode():
        found = load_export(CASES[name].stage, official(name)).module(torch.from_numpy(images))
    found = found[-1] if isinstance(found, tuple) else found
    assert_close(found, expected, CASES[name].tolerance)


@pytest.mark.parametrize("name", but_slow(CASES, {"deep3d", "arcface_r18", "arcface_r100"}))
def test_exported_network_equals_recording(name, official, shared, tmp_path):
    case, (images, expected) = CASES[name], recorded(shared, name)
    stage = interop.load(export(case.stage, official(name), tmp_path / "stage.onnx"))
    found = interop.in_chunks(stage, 3, image=images)
    assert_close(found[stage.outputs[-1]], expected, case.tolerance)
    assert stage.metadata["stage"] == case.stage and stage.metadata["licence"]
    assert len(stage.metadata["weights_sha256"]) == 64 and "github.com" in stage.metadata["source"]


def test_width_and_depth_come_from_the_weights(tmp_path):
    torch.save({"state_dict": MobileNet(1.0).state_dict()}, tmp_path / "mb1.pth")
    np.savez(tmp_path / f"{NAME}.npz", mean=np.zeros(62, np.float32), std=np.ones(62, np.float32))
    module = load_export("tddfa", tmp_path / "mb1.pth").module
    assert sum(x.numel() for x in module.parameters()) == 3_270_526  # counted on the original
    entries = {name: len(IResNet(blocks).state_dict()) for name, blocks in DEPTHS.items() if name != "r200"}
    assert entries == {"r18": 187, "r34": 331, "r50": 475, "r100": 925}
    assert depth(IResNet(DEPTHS["r50"]).state_dict()) == DEPTHS["r50"]


NAMES = {  # a tensor of each network, by its name in the official file, and what the module calls it
    "tddfa": ("module.fc_param.weight", "fc.weight"),
    "deep3d": ("final_layers.3.bias", "final_layers.3.bias"),
    "arcface_r18": ("layer3.1.prelu.weight", "layer3.1.prelu.weight"),
}


@pytest.mark.parametrize("name", but_slow(NAMES, {"deep3d", "arcface_r18"}))
def test_weights_that_do_not_fit_are_refused_by_name(name, official, tmp_path):
    key, named = NAMES[name]
    held = torch.load(official(name), weights_only=True, map_location="cpu")
    nesting = next((nest for nest in ("state_dict", "net_recon") if nest in held), None)
    state = held[nesting] if nesting else held

    def refusal(changed: dict) -> str:
        path = tmp_path / "w.pth"
        torch.save({nesting: changed} if nesting else changed, path)
        with pytest.raises(UserError) as error:
            export(CASES[name].stage, path, tmp_path / "w.onnx")
        assert not (tmp_path / "w.onnx").exists()
        return str(error.value)

    tensor = state[key].clone()
    assert f"missing: {named}" in refusal({k: x for k, x in state.items() if k != key})
    assert "unknown: more.weight" in refusal({**state, "more.weight": tensor})
    assert f"wrong shape: {named}" in refusal({**state, key: tensor[:-1]})
    tensor.view(-1)[-1] = float("nan")
    assert f"not finite: {named}" in refusal({**state, key: tensor})


def test_backbone_of_unknown_depth_is_refused(tmp_path):
    torch.save(IResNet((1, 2, 2, 2)).state_dict(), tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"odd.pth: .*\(1, 2, 2, 2\) blocks .*r18 \(2, 2, 2, 2\)"):
        load_export("arcface", tmp_path / "odd.pth")
