"""`python -m lhg_jax.export --format savedmodel|onnx|stablehlo --output PATH`: a listener for other runtimes.

The exported function takes the arrays of `SpeakerFeatures` and the listener's first frame, and gives
`listener_motion` [batch, frames, coeff]: by name in a SavedModel and in ONNX, in the order of `INPUTS` in
StableHLO (docs/python.md shows how to load and call each). Batch and number of words are free. So is the
length in a SavedModel and in StableHLO, where it must be T = 4 k + 2 frames (log-mel: 2 T + 2 steps); an ONNX
file has one length, chosen here. Shorter clips are padded and say so in `in_clip`; longer ones go through in
overlapping windows (`lhg_jax.windowed_inference`). Each file is loaded through its own runtime and compared
with JAX before it is kept.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lhg_jax.contract import SpeakerFeatures, spec_to_json
from lhg_jax.features import MEL_BANDS, encoder_frames, mel_steps
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.util import interop
from lhg_jax.util.atomic import replacing
from lhg_jax.util.cli import Maybe, parse
from lhg_jax.util.compilation_cache import use_compilation_cache
from lhg_jax.util.errors import MissingExtraError, UserError, run_cli, writing

TOLERANCE = 1e-5  # largest difference from JAX that passes, relative to the largest coefficient (at least 1)
SIZES = ((1, 34, 5), (3, 90, 20))  # (batch, frames, rows of words) that are compared
OUTPUT = "listener_motion"
INPUTS = (*(field.name for field in dataclasses.fields(SpeakerFeatures)), "first_frame")


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes the listener generator as a file of another runtime."""

    output: Path
    """The file (.onnx, .stablehlo) or the folder (SavedModel) to write."""
    format: Literal["savedmodel", "onnx", "stablehlo"]
    """savedmodel: TensorFlow; onnx: onnxruntime; stablehlo: jax.export, PJRT runtimes."""
    checkpoint: Maybe[Path] = None
    """Weights of the listener (.safetensors); the demo model of the package by default."""
    frames: int = 0
    """Length that an ONNX file takes, 4 k + 2; 0: the listener's own window, made longer where it must be."""


def listener_function(trained: ListenerModel) -> Callable[..., jax.Array]:
    """The generator as a function of the arrays of `INPUTS`, in that order."""

    variables = jax.tree.map(jnp.asarray, trained.variables)

    def listen(*arrays: Any) -> Any:
        *features, first_frame = arrays
        batch = SpeakerFeatures(**dict(zip(INPUTS[:-1], features, strict=True)))
        output: Any = trained.model.apply(variables, batch, first_frame, train=False)
        return output.motion

    return listen


def input_specs(
    trained: ListenerModel, batch: Any, frames: Any, words: Any
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of `INPUTS`; sizes are numbers or symbolic dimensions of `jax.export`."""
    size = trained.space.size
    shapes: dict[str, tuple[tuple, Any]] = {
        "log_mel": ((batch, mel_steps(frames), MEL_BANDS), jnp.float32),
        "mfcc": ((batch, frames, trained.features.mfcc_size), jnp.float32),
        "word_table": ((batch, words, trained.word_size), jnp.float32),
        "word_index": ((batch, frames), jnp.int32),
        "speaker_motion": ((batch, frames, size), jnp.float32),
        "speaker_seen": ((batch, frames), jnp.bool_),
        "in_clip": ((batch, frames), jnp.bool_),
        "first_frame": ((batch, size), jnp.float32),
    }
    return {name: jax.ShapeDtypeStruct(*shapes[name]) for name in INPUTS}


def write_stablehlo(trained: ListenerModel, path: Path) -> None:
    """A serialised `jax.export.Exported`, for the CPU, CUDA and TPU."""
    batch, frames, words = jax.export.symbolic_shape("batch, 4*k + 2, words")
    specs = input_specs(trained, batch, frames, words)
    function = jax.jit(listener_function(trained))
    exported = jax.export.export(function, platforms=("cpu", "cuda", "tpu"))(*specs.values())
    path.write_bytes(exported.serialize())


def load_stablehlo(path: Path) -> Callable[..., Mapping[str, Any]]:
    """What `write_stablehlo` wrote, as a function of named arrays."""
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    return lambda **arrays: {OUTPUT: exported.call(*(arrays[name] for name in INPUTS))}


def write_saved_model(trained: ListenerModel, path: Path) -> None:
    """A SavedModel whose default signature takes `INPUTS` by name; `MissingExtraError` without TensorFlow."""
    try:
        import tensorflow as tf
    except ImportError:
        raise MissingExtraError("exporting a SavedModel", "tf") from None
    from jax.experimental import jax2tf

    specs = input_specs(trained, *jax.export.symbolic_shape("batch, 4*k + 2, words"))
    polymorphic = [", ".join(map(str, spec.shape)) for spec in specs.values()]
    convert = jax2tf.convert(listener_function(trained), polymorphic_shapes=polymorphic, with_gradient=False)
    signature = [
        tf.TensorSpec([n if isinstance(n, int) else None for n in spec.shape], spec.dtype, name=name)
        for name, spec in specs.items()
    ]
    module = tf.Module()
    module.listen = tf.function(
        lambda *arrays: {OUTPUT: convert(*arrays)}, autograph=False, input_signature=signature
    )
    tf.saved_model.save(module, str(path), signatures=module.listen.get_concrete_function())
    (path / interop.NOTES).parent.mkdir()
    (path / interop.NOTES).write_text(json.dumps(notes(trained)), encoding="utf-8")


def write_onnx(trained: ListenerModel, path: Path, frames: int) -> None:
    """An ONNX file for clips of `frames`. Raises `UserError` naming `make export-env` without jax2onnx."""
    try:
        import jax2onnx
        import onnx
    except ImportError:
        raise UserError(
            "exporting to ONNX needs jax2onnx, which pins an old orbax: `make export-env`, then run this "
            "command with .venv-export/bin/python"
        ) from None
    batch, words = jax.export.symbolic_shape("batch, words")
    specs = input_specs(trained, batch, frames, words)
    model = jax2onnx.to_onnx(
        listener_function(trained),
        list(specs.values()),
        model_name="listener",
        opset=21,
        input_names=list(specs),
        output_names=[OUTPUT],
    )
    onnx.helper.set_model_props(model, notes(trained))
    onnx.save(model, path)


def notes(trained: ListenerModel) -> dict[str, str]:
    """What a user of the file should know: strings."""
    specs = {"features": spec_to_json(trained.features), "inference": spec_to_json(trained.inference)}
    return {"source": "lhg_jax listener", "space": trained.space.name, **specs}


def random_inputs(
    trained: ListenerModel, batch: int, frames: int, words: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Clips of random content; the last one ends before its padding, and one speaker is not seen."""
    rng = np.random.default_rng(seed)
    specs = input_specs(trained, batch, frames, words)
    arrays = {name: rng.normal(size=spec.shape).astype(spec.dtype) for name, spec in specs.items()}
    arrays["log_mel"] = (10 * arrays["log_mel"] - 40).clip(-80, 0)
    arrays["word_index"] = rng.integers(0, words, (batch, frames)).astype(np.int32)
    for name in ("speaker_motion", "first_frame"):
        arrays[name] = 0.1 * arrays[name]
    arrays["in_clip"] = np.arange(frames)[None] < frames - 9 * (np.arange(batch)[:, None] == batch - 1)
    arrays["speaker_seen"] = (np.arange(batch)[:, None] != 1) & (rng.random((batch, frames)) < 0.9)
    return arrays


def difference(trained: ListenerModel, run: Callable[..., Mapping[str, Any]], sizes: Any) -> float:
    """Largest |file - JAX| over clips of several sizes, relative to the largest coefficient (at least 1)."""
    function, worst = jax.jit(listener_function(trained)), 0.0
    for size in sizes:
        arrays = random_inputs(trained, *size)
        want = np.asarray(function(*(arrays[name] for name in INPUTS)))
        found = np.abs(np.asarray(run(**arrays)[OUTPUT]) - want).max() / max(np.abs(want).max(), 1.0)
        worst = max(worst, float(found))
    return worst


def export(options: Options) -> float:
    """Writes the file and returns its difference from JAX; raises `UserError` for what cannot be exported."""
    if options.frames and (options.frames < 2 or options.frames % 4 != 2):
        raise UserError(f"--frames: {options.frames} is not 4 k + 2 (the audio encoder's levels then agree)")
    trained = load_listener(options.checkpoint)
    frames = options.frames or encoder_frames(trained.inference.window)
    if options.format == "savedmodel":
        return export_folder(trained, options.output)
    suffix = {"onnx": ".onnx", "stablehlo": ".stablehlo"}[options.format]
    if options.output.suffix != suffix:
        raise UserError(f"{options.output}: the name must end in {suffix}")
    with replacing(options.output) as temporary:
        if options.format == "onnx":
            write_onnx(trained, temporary, frames)
            sizes = [(batch, frames, words) for batch, _, words in SIZES]
            return require_small(options.output, difference(trained, interop.load(temporary), sizes))
        write_stablehlo(trained, temporary)
        return require_small(options.output, difference(trained, load_stablehlo(temporary), SIZES))


def export_folder(trained: ListenerModel, output: Path) -> float:
    """A SavedModel, built beside its place and moved there when it is whole; what exists is left alone."""
    if output.exists():
        raise UserError(f"{output}: exists")
    temporary = output.with_name(f".{output.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with writing(output):
            write_saved_model(trained, temporary)
        found = require_small(output, difference(trained, interop.load(temporary), SIZES))
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def require_small(output: Path, found: float) -> float:
    """`found`, if it is no more than `TOLERANCE`; else raises `UserError`."""
    if not found <= TOLERANCE:
        raise UserError(f"{output}: not written: {found:.2g} away from JAX, more than {TOLERANCE}")
    return found


def main() -> None:
    """Parses the command line and exports."""
    options = parse(Options, "python -m lhg_jax.export", __doc__)
    use_compilation_cache()
    found = export(options)
    print(f"wrote {options.output} (differs from JAX by {found:.2g})")


if __name__ == "__main__":
    run_cli(main)
