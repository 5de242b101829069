"""LivePortrait's folder with tiny networks in it: the right names and shapes, random numbers inside."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from lhg_jax.liveportrait.networks import OUTPUTS

HEADS = {"pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63, "scale": 1, "kp": 63}


def save(path: Path, nodes, inputs: dict, outputs: dict, constants: dict, stage: str | None) -> None:
    def values(shapes: dict) -> list:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    initializers = [onnx.numpy_helper.from_array(x, name) for name, x in constants.items()]
    graph = helper.make_graph(nodes, "stand-in", values(inputs), values(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    if stage:
        helper.set_model_props(
            model, {"stage": f"liveportrait_{stage}", "licence": "none", "source": "nobody"}
        )
    onnx.save(model, path)


def dense(path: Path, stage: str, size_in: int, size_out: int, seed: int, names=("feature", "delta")) -> None:
    weight = np.random.default_rng(seed).normal(size=(size_in, size_out)).astype(np.float32) * 0.001
    node = helper.make_node("MatMul", [names[0], "w"], [names[1]])
    save(path, [node], {names[0]: ["n", size_in]}, {names[1]: ["n", size_out]}, {"w": weight}, stage)


def motion(path: Path, stage: str | None = "motion", image: str = "image") -> None:
    """Each head is a linear map of the picture's mean colour, about as large as the real one's."""
    rng = np.random.default_rng(5)
    nodes = [helper.make_node("ReduceMean", [image, "axes"], ["mean"], keepdims=0)]
    constants = {"axes": np.array([2, 3])}
    for name, size in HEADS.items():
        spread = {"kp": 0.4, "exp": 0.01, "scale": 0.0, "t": 0.02}.get(name, 1.0)
        constants[f"{name}_w"] = rng.normal(size=(3, size)).astype(np.float32) * spread
        constants[f"{name}_b"] = np.full(size, 1.4 if name == "scale" else 0.0, np.float32)
        nodes.append(helper.make_node("MatMul", ["mean", f"{name}_w"], [f"{name}_m"]))
        nodes.append(helper.make_node("Add", [f"{name}_m", f"{name}_b"], [name]))
    outputs = {name: ["n", size] for name, size in HEADS.items()}
    save(path, nodes, {image: ["n", 3, 256, 256]}, outputs, constants, stage)


def appearance(path: Path) -> None:
    nodes = [
        helper.make_node("AveragePool", ["image"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Unsqueeze", ["small", "axis"], ["deep"]),
        helper.make_node("Tile", ["deep", "times"], ["wide"]),
        helper.make_node("Slice", ["wide", "from", "to", "one"], ["feature"]),
    ]
    constants = {
        **{"axis": np.array([2]), "times": np.array([1, 11, 16, 1, 1]), "one": np.array([1])},
        **{"from": np.array([0]), "to": np.array([32])},
    }
    save(
        path,
        nodes,
        {"image": ["n", 3, 256, 256]},
        {"feature": ["n", 32, 16, 64, 64]},
        constants,
        "appearance",
    )


def warping(path: Path) -> None:
    """The first channels of the volume, lit by how far the keypoints moved."""
    nodes = [
        helper.make_node("Slice", ["feature", "from", "to", "axes"], ["front"]),
        helper.make_node("Squeeze", ["front", "axis"], ["flat"]),
        helper.make_node("Sub", ["kp_driving", "kp_source"], ["moved"]),
        helper.make_node("ReduceMean", ["moved", "rest"], ["light"], keepdims=1),
        helper.make_node("Unsqueeze", ["light", "last"], ["light4"]),
        helper.make_node("Add", ["flat", "light4"], ["lit"]),
        helper.make_node("Tile", ["lit", "times"], ["warped"]),
    ]
    constants = {
        **{"from": np.array([0, 0]), "to": np.array([32, 1]), "axes": np.array([1, 2])},
        **{
            "axis": np.array([2]),
            "rest": np.array([1, 2]),
            "last": np.array([3]),
            "times": np.array([1, 8, 1, 1]),
        },
    }
    inputs = {"feature": ["n", 32, 16, 64, 64], "kp_driving": ["n", 21, 3], "kp_source": ["n", 21, 3]}
    save(path, nodes, inputs, {"warped": ["n", 256, 64, 64]}, constants, "warping")


def generator(path: Path) -> None:
    nodes = [
        helper.make_node("Slice", ["warped", "from", "to", "axis"], ["rgb"]),
        helper.make_node("Resize", ["rgb", "", "scales"], ["large"], mode="linear"),
        helper.make_node("Clip", ["large", "low", "high"], ["image"]),
    ]
    constants = {
        **{"from": np.array([0]), "to": np.array([3]), "axis": np.array([1])},
        **{"scales": np.array([1, 1, 8, 8], np.float32)},
        **{"low": np.array(0, np.float32), "high": np.array(1, np.float32)},
    }
    save(path, nodes, {"warped": ["n", 256, 64, 64]}, {"image": ["n", 3, 512, 512]}, constants, "generator")


def make_folder(folder: Path) -> Path:
    """All seven files."""
    folder.mkdir(parents=True, exist_ok=True)
    motion(folder / "motion.onnx")
    appearance(folder / "appearance.onnx")
    warping(folder / "warping.onnx")
    generator(folder / "generator.onnx")
    for seed, (name, sizes) in enumerate({"stitching": (126, 65), "eye": (66, 63), "lip": (65, 63)}.items()):
        dense(folder / f"{name}.onnx", name, *sizes, seed)
    assert {path.stem for path in folder.iterdir()} == OUTPUTS.keys() - {"warping_generator"}
    return folder
