"""CSIM by ArcFace: recorded numbers, the official way of looking at frames, and the command."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from metrics_clips import noise, write
from stage_files import assert_close, export, filled_state

from lhg_jax.evaluate import Options, evaluate
from lhg_jax.metrics import csim
from lhg_jax.util.errors import UserError
from lhg_jax.util.interop import ArraySpec, ExternalNetwork

onnx = pytest.importorskip("onnx")


def mean_colour(path, output: str = "embedding"):
    """A network in ArcFace's place: the mean of each channel."""
    tensor = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("ReduceMean", ["image"], [output], axes=[2, 3], keepdims=0)
    image = tensor("image", onnx.TensorProto.FLOAT, ["n", 3, 112, 112])
    graph = onnx.helper.make_graph(
        [node], "mean", [image], [tensor(output, onnx.TensorProto.FLOAT, ["n", 3])]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.helper.set_model_props(model, {"source": "nobody", "weights_sha256": "0123456789abcdef"})
    onnx.save(model, path)
    return path


@pytest.mark.slow
def test_equals_recording(shared, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(filled_state(shared, "arcface_r18", 81), tmp_path / "backbone.pth")
    network = csim.arcface(export("arcface", tmp_path / "backbone.pth", tmp_path / "r18.onnx"))
    recording = np.load(shared / "golden/arcface_r18.a.npz")
    found = csim.arcface_embeddings(network, recording["in_image_uint8"])
    assert_close(found, recording["out_feat"], 1.8e-5)
    np.testing.assert_allclose(csim.cosine(found[:1], found[1:]), recording["out_csim01"], atol=1e-6)
    assert "r18" in csim.weights_of(network)


def test_whole_frames_are_squeezed_without_antialiasing():
    seen = []

    def run(arrays):
        seen.append(arrays["image"])
        return {"embedding": np.zeros((len(arrays["image"]), 512), np.float32)}

    network = ExternalNetwork(
        "x", {"image": ArraySpec((None, 3, 112, 112), np.dtype("float32"))}, ("embedding",), {}, run
    )
    images = noise(3, 200, 304, 0)
    csim.arcface_embeddings(network, images)
    for pixels, image in zip(seen[0], images, strict=True):
        small = cv2.resize(image, (112, 112))
        np.testing.assert_allclose(pixels.transpose(1, 2, 0), small / 127.5 - 1, atol=1e-6)


def test_command_pools_frames_and_names_the_weights(tmp_path):
    lengths, cosines = {"a": 5, "b": 2}, []
    for seed, (name, frames) in enumerate(lengths.items()):
        # Colours, so that the means differ from frame to frame; a codec without loss.
        truth, prediction = (
            np.broadcast_to(noise(frames, 1, 1, seed + part), (frames, 64, 72, 3)).copy() for part in (0, 7)
        )
        write(tmp_path / f"ref/{name}.mkv", truth, "bgr0")
        write(tmp_path / f"pred/{name}.mkv", prediction, "bgr0")
        cosines.append(csim.cosine(*(x[:, 0, 0] / 127.5 - 1 for x in (truth, prediction))))
    weights = mean_colour(tmp_path / "mean.onnx")
    folders = (tmp_path / "pred", tmp_path / "ref", tmp_path / "out")
    options = Options(*folders, arcface=weights, track=False, players=False, workers=1)
    assert evaluate(options) == []
    result = json.loads((tmp_path / "out/metrics.json").read_text())
    np.testing.assert_allclose(result["metrics"]["csim"], np.concatenate(cosines).mean(), atol=1e-5)
    for name, values in zip(lengths, cosines, strict=True):
        np.testing.assert_allclose(result["per_clip"][name]["metrics"]["csim"], values.mean(), atol=1e-5)
    assert result["notes"]["csim"] == "nobody; weights 0123456789ab"
    assert result["metrics"]["csim_dlib"] is None
    # Without it the number is left out, and the clips are measured again: nothing of it stays behind.
    assert evaluate(dataclasses.replace(options, arcface=None)) == []
    result = json.loads((tmp_path / "out/metrics.json").read_text())
    assert result["metrics"]["csim"] is None and "--arcface" in result["notes"]["csim"]


def test_other_networks_are_refused_before_anything_is_measured(tmp_path):
    for folder in ("ref", "pred"):
        write(tmp_path / folder / "a.mkv", noise(1, 64, 64, 0))
    weights = mean_colour(tmp_path / "mean.onnx", output="colour")
    for path, message in ((weights, "another network"), (tmp_path / "none.onnx", "no such file")):
        with pytest.raises(UserError, match=message):
            evaluate(Options(tmp_path / "pred", tmp_path / "ref", tmp_path / "out", arcface=path))
    assert not (tmp_path / "out").exists()
