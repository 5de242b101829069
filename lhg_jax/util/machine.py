"""Facts of the machine and of what is installed on it, as rows of text for `lhg_jax.doctor`."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator

import lhg_jax
from lhg_jax.util.errors import device_error
from lhg_jax.util.workers import available_cores

VERSIONS = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "av", "dlib-bin")


def version_rows() -> Iterator[tuple[str, str]]:
    """(name, version or 'missing') of Python and the packages that matter."""
    yield "lhg_jax", lhg_jax.__version__
    yield "python", f"{platform.python_version()} ({sys.platform}, {platform.machine()})"
    for name in VERSIONS:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "missing"


def machine_rows() -> Iterator[tuple[str, str]]:
    """(what, how much) of the machine: cores this process may use, memory, room for files."""
    yield "CPU cores", str(available_cores())
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    yield "free disk (this folder)", f"{shutil.disk_usage('.').free / 1e9:.1f} GB"


def device_rows() -> Iterator[tuple[str, str]]:
    """(device, kind) of what JAX computes on, or why there is none."""
    import jax

    if error := device_error():
        yield "none", error
        return
    for device in jax.local_devices():
        yield str(device), device.device_kind


def onnx_rows() -> Iterator[tuple[str, str]]:
    """(onnxruntime, what it computes on), or that it is missing."""
    if importlib.util.find_spec("onnxruntime") is None:
        yield "onnxruntime", "missing: pip install '.[onnx]'"
        return
    import onnxruntime

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    yield "onnxruntime", ", ".join(name for name in names if name in ("CUDA", "CPU"))


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
