"""One callable of named numpy arrays for an ONNX file, a TensorFlow SavedModel or a PyTorch module.

Stages outside the core (trackers, renderers, restoration) run through this, so a stage needs no framework of
its own: official checkpoints become ONNX files once (`python -m lhg_exporters`).
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lhg_jax.util.errors import MissingExtraError, UserError

Arrays = dict[str, np.ndarray]

NOTES = Path("assets.extra", "lhg_jax.json")  # of a SavedModel: metadata of what this project exported


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """What an input must be: a size for each axis (None: any) and a dtype."""

    shape: tuple[int | None, ...]
    dtype: np.dtype

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits."""
        return len(shape) == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} ({sizes})"


@dataclasses.dataclass(frozen=True)
class ExternalNetwork:
    """A network as a function: `stage(image=x)["coeff"]`.

    Attributes:
      name: for messages; a file's path.
      inputs: name -> what is accepted, in the network's own order.
      outputs: names of the outputs.
      metadata: strings kept in the file (source, licence, sha256 of the weights ...).
      run: the call itself, without checks.
    """

    name: str
    inputs: Mapping[str, ArraySpec]
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]
    run: Callable[[Arrays], Arrays]

    def __call__(self, **arrays: np.ndarray) -> Arrays:
        """Outputs by name. Raises `UserError` for inputs of another name, shape or dtype."""
        if arrays.keys() != self.inputs.keys():
            raise UserError(f"{self.name}: takes inputs {list(self.inputs)}, not {list(arrays)}")
        for name, spec in self.inputs.items():
            array = arrays[name]
            if array.dtype != spec.dtype or not spec.accepts(array.shape):
                raise UserError(f"{self.name}: input {name!r} is {array.dtype} {array.shape}, not {spec}")
        return self.run(arrays)


def in_chunks(stage: ExternalNetwork, size: int, **arrays: np.ndarray) -> Arrays:
    """`stage` on slices of at most `size` along the leading axis of every array, outputs joined again.

    Memory is that of one slice. Raises `UserError` where leading axes differ or are empty.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    count = next(iter(lengths.values()))
    if count == 0 or len(set(lengths.values())) > 1:
        raise UserError(
            f"{stage.name}: inputs need one leading axis of equal, positive length, not {lengths}"
        )
    parts = [
        stage(**{name: array[start : start + size] for name, array in arrays.items()})
        for start in range(0, count, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in stage.outputs}


def load(path: str | os.PathLike) -> ExternalNetwork:
    """The network in an .onnx file or a SavedModel directory. Raises `UserError` for anything else."""
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return load_saved_model(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file (an .onnx file or a SavedModel folder is needed)")
    if path.suffix != ".onnx":
        raise UserError(
            f"{path}: neither an .onnx file nor a SavedModel folder (`python -m lhg_exporters makes` one)"
        )
    return load_onnx(path)


def load_as(path: str | os.PathLike, outputs: Sequence[str], **shapes: tuple[int, ...]) -> ExternalNetwork:
    """`load`, for a network that takes arrays of these shapes by these names and has these outputs.

    Raises `UserError` for another network.
    """
    stage = load(path)
    fits = stage.inputs.keys() == shapes.keys() and set(outputs) <= set(stage.outputs)
    if not fits or not all(stage.inputs[name].accepts(shape) for name, shape in shapes.items()):
        has = ", ".join(f"{name} {spec}" for name, spec in stage.inputs.items())
        needs = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UserError(
            f"{path}: another network than this stage needs: from {has} to {', '.join(stage.outputs)} "
            f"instead of from {needs} to {', '.join(outputs)}"
        )
    return stage


def load_onnx(path: Path, threads: int = 0) -> ExternalNetwork:
    """An ONNX file in onnxruntime, on the CPU or on CUDA where the installed onnxruntime has it.

    Args:
      path: the file.
      threads: of one operator; 0 is onnxruntime's choice, one for each core.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(f"{path}: running ONNX files", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # warnings speak of the graph, not of what the user can do
    known = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
    try:
        # Trying the next provider prints a banner on stdout: not where there is none to try.
        session = onnxruntime.InferenceSession(
            str(path), options, providers=providers, enable_fallback=int(len(providers) > 1)
        )
    except Exception as error:  # onnxruntime has one class of exception for each of its error codes
        raise UserError(f"{path}: not a usable ONNX file ({str(error).splitlines()[0]})") from error
    outputs = tuple(output.name for output in session.get_outputs())

    def run(arrays: Arrays) -> Arrays:
        return dict(zip(outputs, session.run(list(outputs), arrays), strict=True))

    inputs = {
        node.name: ArraySpec(_sizes(node.shape), _onnx_dtype(node.type)) for node in session.get_inputs()
    }
    return ExternalNetwork(str(path), inputs, outputs, session.get_modelmeta().custom_metadata_map, run)


def _sizes(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """Symbols and unknown sizes become None."""
    return tuple(size if isinstance(size, int) else None for size in shape)


def _onnx_dtype(name: str) -> np.dtype:
    """'tensor(float)' -> float32."""
    import onnx

    element = name.removeprefix("tensor(").removesuffix(")").upper()
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.DataType.Value(element)))


def load_saved_model(path: Path) -> ExternalNetwork:
    """The default signature of a TensorFlow SavedModel, called from JAX (`jax2tf.call_tf`)."""
    try:
        import tensorflow as tf
    except ImportError:
        raise MissingExtraError(f"{path}: running SavedModels", "tf") from None
    from jax.experimental import jax2tf

    try:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a SavedModel with a default signature ({error})") from error
    specs = signature.structured_input_signature[1]
    inputs = {
        name: ArraySpec(tuple(spec.shape.as_list()), np.dtype(spec.dtype.as_numpy_dtype))
        for name, spec in sorted(specs.items())
    }
    outputs = tuple(sorted(signature.structured_outputs))

    def call(tensors: dict[str, Any]) -> Any:
        _ = loaded  # its variables live as long as it does
        return signature(**tensors)

    called = jax2tf.call_tf(call)

    def run(arrays: Arrays) -> Arrays:
        return {name: np.asarray(array) for name, array in called(arrays).items()}

    return ExternalNetwork(str(path), inputs, outputs, _notes(path), run)


def _notes(path: Path) -> dict[str, str]:
    """Metadata of a SavedModel; none where this project did not export it."""
    notes = path / NOTES
    return json.loads(notes.read_text(encoding="utf-8")) if notes.is_file() else {}


def from_torch(
    module: Any, inputs: Mapping[str, ArraySpec], outputs: Sequence[str], name: str | None = None
) -> ExternalNetwork:
    """A PyTorch module in evaluation mode; it takes `inputs` in their order and gives `outputs` in theirs."""
    import torch

    module.eval()

    def run(arrays: Arrays) -> Arrays:
        with torch.inference_mode():
            results = module(*(torch.from_numpy(np.asarray(arrays[key], order="C")) for key in inputs))
        results = results if isinstance(results, (tuple, list)) else (results,)
        return {key: result.numpy() for key, result in zip(outputs, results, strict=True)}

    return ExternalNetwork(name or type(module).__name__, dict(inputs), tuple(outputs), {}, run)
