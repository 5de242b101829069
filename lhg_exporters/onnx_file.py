"""An official PyTorch checkpoint as an ONNX file that the package runs without PyTorch.

The file is checked before it is kept: the same random input through ONNX and through PyTorch. Source,
licence, the weights' sha256 and the difference that was found stand in its metadata.
"""

import dataclasses
import hashlib
import tempfile
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from lhg_exporters import Export, load_export
from lhg_jax.util import interop
from lhg_jax.util.atomic import replacing
from lhg_jax.util.cli import Maybe
from lhg_jax.util.errors import MissingExtraError, UserError

OPSET = 20  # the first whose GridSample has all that the stages need


@dataclasses.dataclass(frozen=True)
class Options:
    """Turns an official checkpoint into an ONNX file."""

    name: Annotated[str, tyro.conf.Positional]
    """Which network, or folder of networks."""
    weights: Path
    """The official checkpoint."""
    output: Path
    """The .onnx file or the folder to write."""
    tile: Maybe[tuple[int, int, int]] = None
    """Of video restoration: frames, rows and columns of the tiles that the network will take."""
    sigma: Maybe[float] = None
    """Of video denoising: standard deviation of the noise, of 255, that the network will be told of."""

    @property
    def settings(self) -> dict[str, Any]:
        """What was given of a network's own settings."""
        given = {"tile": self.tile, "sigma": self.sigma}
        return {name: value for name, value in given.items() if value is not None}


def require_torch() -> None:
    """Raises `UserError` naming the extra where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("exporting a stage", "stages") from None


def export(options: Options) -> float:
    """Writes the file; returns the largest difference from PyTorch, relative to the largest output."""
    require_torch()
    if options.output.suffix != ".onnx":
        raise UserError(f"{options.output}: the name must end in .onnx")
    stage = load_export(options.name, options.weights, **options.settings)
    with replacing(options.output) as temporary:
        write_onnx(stage, temporary)
        difference = compare(stage, temporary)
        if not difference <= stage.tolerance:
            raise UserError(
                f"{options.output}: ONNX differs from PyTorch by {difference:.2g} of the largest value "
                f"(allowed: {stage.tolerance:.2g}); nothing was written"
            )
        annotate(
            temporary,
            stage=options.name,
            source=stage.source,
            licence=stage.licence,
            weights_sha256=hashlib.sha256(options.weights.read_bytes()).hexdigest(),
            largest_relative_difference=f"{difference:.3g}",
            **stage.notes,
        )
    return difference


def write_onnx(stage: Export, path: Path) -> None:
    """Traces the module with its example, and each of its loops' steps; writes one self-contained file."""
    trace(stage.module, stage.example, stage.outputs, stage.dynamic, path)
    if not stage.loops:
        return
    from lhg_exporters.loops import join

    with tempfile.TemporaryDirectory() as folder:
        bodies = {}
        for name, (step, example) in stage.loops.items():
            bodies[name] = Path(folder) / f"{name}.onnx"
            trace(step, example, (), {}, bodies[name])
        join(path, bodies)


def trace(module, example: Mapping, outputs: Sequence[str], dynamic: Mapping, path: Path) -> None:
    """Writes what the module does with this example."""
    import torch

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # about the exporter's own insides
        torch.onnx.export(
            module,
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
            opset_version=OPSET,
            dynamo=False,
            keep_initializers_as_inputs=True,  # else PyTorch 2.13 merges equal weights and loses some
        )
    keep_inputs(path, example)


def keep_inputs(path: Path, names: Collection[str]) -> None:
    """Takes all inputs but these, which have a value in the file, out of the graph's inputs."""
    import onnx

    model = onnx.load(path)
    inputs = [value for value in model.graph.input if value.name in names]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    onnx.save(model, path)


def compare(stage: Export, path: Path, seed: int = 0) -> float:
    """Largest |ONNX - PyTorch| over all outputs, each relative to its largest value, on random input."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    arrays = {name: _like(tensor, generator).numpy() for name, tensor in stage.example.items()}
    exported = interop.load(path)
    original = interop.from_torch(stage.module, exported.inputs, stage.outputs)
    ours, theirs = exported(**arrays), original(**arrays)
    differences = [
        np.abs(ours[name] - want).max() / max(np.abs(want).max(), 1e-12) for name, want in theirs.items()
    ]
    return float(max(differences))


def _like(example, generator):
    """Random values with the mean and spread of the example; integers stay as they are."""
    import torch

    if not example.is_floating_point():
        return example
    noise = torch.randn(example.shape, generator=generator)
    return example.mean() + noise * (example.std() if example.numel() > 1 else 1.0)


def annotate(path: Path, **notes: str) -> None:
    """Adds metadata to an ONNX file."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, path)
