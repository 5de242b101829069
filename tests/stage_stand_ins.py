"""ONNX files with the inputs and outputs of PIRenderer, RVRT and Deep3DFaceRecon, something simple inside."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from lhg_jax.faces.tracking_result import PortraitFit, VideoFit
from lhg_jax.motion import DEEP3D_CROP, Motion


def write(path: Path, nodes, inputs: dict, outputs: dict, constants: dict) -> Path:
    def values(shapes: dict) -> list:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    initializers = [onnx.numpy_helper.from_array(x, name) for name, x in constants.items()]
    graph = helper.make_graph(nodes, "stand-in", values(inputs), values(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def pirenderer(path: Path) -> Path:
    """Draws the portrait inverted and brightened by the first expression coefficient of the frame itself."""
    nodes = [
        helper.make_node("Slice", ["window", "from", "to", "axes"], ["now"]),
        helper.make_node("Unsqueeze", ["now", "last"], ["light"]),
        helper.make_node("Neg", ["image"], ["inverted"]),
        helper.make_node("Add", ["inverted", "light"], ["fake"]),
    ]
    constants = {
        "from": np.array([0, 13]),
        "to": np.array([1, 14]),
        "axes": np.array([1, 2]),
        "last": np.array([3]),
    }
    inputs = {"image": ["n", 3, 256, 256], "window": ["n", 73, 27]}
    return write(path, nodes, inputs, {"fake": ["n", 3, 256, 256]}, constants)


def deep3d(path: Path) -> Path:
    """257 coefficients, each a random mixture of the brightness of sixteen parts of the crop."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["parts"], kernel_shape=[56, 56], strides=[56, 56]),
        helper.make_node("Flatten", ["parts"], ["flat"]),
        helper.make_node("MatMul", ["flat", "mixture"], ["coeff"]),
    ]
    mixture = np.random.default_rng(4).normal(size=(48, 257)).astype(np.float32)
    inputs, outputs = {"image": ["n", 3, 224, 224]}, {"coeff": ["n", 257]}
    return write(path, nodes, inputs, outputs, {"mixture": mixture})


def rvrt(
    path: Path, frames: int = 4, rows: int = 24, columns: int = 20, inputs: int = 3, scale: int = 4
) -> Path:
    """Repeats each pixel `scale` times along both axes; darkens by sigma where it is told of noise."""
    nodes = [
        helper.make_node("Slice", ["video", "from", "to", "axes"], ["rgb"]),
        helper.make_node(
            "Resize",
            ["rgb", "", "scales"],
            ["large"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
    ]
    shape = [1, frames, 3, scale * rows, scale * columns]
    constants = {
        "from": np.array([0]),
        "to": np.array([3]),
        "axes": np.array([2]),
        "scales": np.array([1, 1, 1, scale, scale], np.float32),
    }
    if inputs == 4:
        nodes += [
            helper.make_node("Slice", ["video", "to", "end", "axes"], ["noise"]),
            helper.make_node("ReduceMax", ["noise"], ["sigma"], keepdims=0),
            helper.make_node("Sub", ["large", "sigma"], ["restored"]),
        ]
        constants["end"] = np.array([4])
    else:
        nodes.append(helper.make_node("Identity", ["large"], ["restored"]))
    given = {"video": [1, frames, inputs, rows, columns]}
    return write(path, nodes, given, {"restored": shape}, constants)


def fit_values(scale: float, x: float, y_up: float, seed: int = 0) -> np.ndarray:
    """A face in the space of PIRenderer, its crop as given."""
    values = np.random.default_rng(seed).normal(size=DEEP3D_CROP.size).astype(np.float32) * 0.1
    values[DEEP3D_CROP.slice("crop")] = scale, x, y_up
    return values


def landmarks_at(x: float, y: float, size: float) -> np.ndarray:
    """68 landmarks of a face around a place; `size` is about half its height. iBUG order."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.column_stack([np.cos(turn), np.sin(turn) * 1.1])
    brows = np.column_stack([np.linspace(-0.8, 0.8, 10), np.full(10, -0.6)])
    nose = np.column_stack([np.zeros(9), np.linspace(-0.4, 0.2, 9)])
    eyes = np.column_stack([np.linspace(-0.6, 0.6, 12), np.full(12, -0.35)])
    mouth = np.column_stack([np.linspace(-0.4, 0.4, 20), np.full(20, 0.6)])
    return np.concatenate([jaw, brows, nose, eyes, mouth]) * size + [x, y]


class Tracker:
    """A tracker in the space of PIRenderer that finds the same face everywhere, restless in videos."""

    space = DEEP3D_CROP

    def track_image(self, image, face=None) -> PortraitFit:
        height, width = image.shape[:2]
        values = fit_values(0.8, width / 2, height / 2)
        landmarks = landmarks_at(width / 2, height / 2, height / 6)
        return PortraitFit(values, np.array([0.0, 0.0, width, height]), landmarks, [])

    def track_video(self, frames, on_frame=None) -> VideoFit:
        times_s = []
        for frame in frames:
            on_frame()
            values = self.track_image(frame.image).values
            times_s.append(frame.time_s)
        end_s = times_s[-1] + np.diff(times_s).mean()
        count = int(np.ceil(end_s * 30 - 1e-6))
        steps = np.random.default_rng(3).normal(size=(count, len(values))) * 0.02
        return VideoFit(Motion(DEEP3D_CROP, (values + steps).astype(np.float32)), 1.0, [])


def tracker(weights: Path | None) -> Tracker:
    return Tracker()
