"""Networks that draw at full size: seconds a frame through ONNX and eager PyTorch on the CPU, peak memory.

    .venv/bin/python tools/bench/portrait_stages.py [NAME ...] [--rounds 3] [--threads 2]

Weights are random and the same on both sides, which take turns, so that load hits both. Memory is that of a
process of its own which does nothing but load the ONNX file, or the official one, and run it once.
"""

import argparse
import dataclasses
import functools
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lhg_jax.util import interop
from lhg_jax.util.progress import peak_memory_mb

LIVEPORTRAIT = {  # the first two run once a portrait, the others once a frame
    "appearance": "Appearance",
    "motion": "MotionExtractor",
    "warping": "Warping",
    "generator": "Generator",
}


@dataclasses.dataclass(frozen=True)
class Bench:
    """One row of the table.

    Attributes:
      stage: name of the export.
      key: under which the official file has its tensors; None: they are all that it holds.
      build: the network.
      batch: frames of one call where the export's example has fewer, as the renderer makes it.
    """

    stage: str
    key: str | None
    build: Callable
    batch: int | None = None


def pirenderer():
    from lhg_exporters.pirenderer.network import PIRenderer

    return PIRenderer()


def rvrt(width: int, enlarges: bool, inputs: int, groups: tuple[int, ...]):
    from lhg_exporters.rvrt.network import RVRT, RVRTConfig

    return RVRT(RVRTConfig(width, enlarges, inputs, groups))


def liveportrait(name: str, cls: str):
    return getattr(importlib.import_module(f"lhg_exporters.liveportrait.{name}"), cls)()


STAGES = {
    "pirenderer": Bench("pirenderer", "net_G_ema", pirenderer, batch=4),
    "rvrt-sr": Bench("rvrt", "params", lambda: rvrt(144, True, 3, (1, 1, 1, 1, 1, 1))),
    "rvrt-deblur": Bench("rvrt", "params", lambda: rvrt(192, False, 3, (1, 3, 3, 3, 3, 3))),
    "rvrt-denoise": Bench("rvrt", "params", lambda: rvrt(192, False, 4, (1, 3, 4, 6, 8, 4))),
    **{
        f"liveportrait-{name}": Bench(
            f"liveportrait_{name}", None, functools.partial(liveportrait, name, cls), batch=1
        )
        for name, cls in LIVEPORTRAIT.items()
    },
}


def official_file(bench: Bench, path: Path) -> None:
    """Random weights that keep the signal's size, as the authors publish theirs."""
    import torch

    torch.manual_seed(0)
    module = bench.build().requires_grad_(False)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5)
    state = module.state_dict()
    torch.save({bench.key: state} if bench.key else state, path)


def measure(name: str, rounds: int, threads: int, folder: Path) -> str:
    """Cells of the table."""
    from lhg_exporters import load_export
    from lhg_exporters.onnx_file import write_onnx
    from tools.bench.stages import in_turns  # imports PyTorch, which is no part of the memory

    bench = STAGES[name]
    official_file(bench, folder / "official.pt")
    exported, path = load_export(bench.stage, folder / "official.pt"), folder / "stage.onnx"
    write_onnx(exported, path)
    example = exported.example
    if bench.batch:
        example = {name: x[:1].expand(bench.batch, *x.shape[1:]).contiguous() for name, x in example.items()}
    np.savez(folder / "input.npz", **{name: x.numpy() for name, x in example.items()})
    peaks_gb = " | ".join(f"{memory(name, side, folder, threads):.2f}" for side in ("onnx", "torch"))

    stage = interop.load_onnx(path, threads)
    arrays = {name: x.numpy() for name, x in example.items()}
    times = in_turns((lambda: stage(**arrays), lambda: exported.module(*example.values())), rounds)
    frames = bench.batch or next(iter(example.values())).shape[1]
    ours, theirs = (statistics.median(side) / frames for side in times)
    size = " x ".join(str(n) for n in next(iter(example.values())).shape)
    mb = path.stat().st_size / 1e6
    return f"{size} | {ours:.3g} | {theirs:.3g} | {theirs / ours:.2f} | {peaks_gb} | {mb:.0f}"


def memory(name: str, side: str, folder: Path, threads: int) -> float:
    """GB that a new process needs at its peak to run the network once."""
    child = [sys.executable, __file__, name, "--memory", side, str(folder), "--threads", str(threads)]
    return float(subprocess.run(child, check=True, capture_output=True, text=True).stdout)


def print_memory(name: str, side: str, folder: Path, threads: int) -> None:
    """What `memory` reads."""
    with np.load(folder / "input.npz", allow_pickle=False) as arrays:
        if side == "onnx":
            interop.load_onnx(folder / "stage.onnx", threads)(**arrays)
        else:
            import torch

            from lhg_exporters import load_export

            module = load_export(STAGES[name].stage, folder / "official.pt").module
            torch.set_num_threads(threads)
            with torch.inference_mode():
                module(*(torch.from_numpy(x) for x in arrays.values()))
    print(peak_memory_mb() / 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(STAGES), help=", ".join(STAGES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        side, folder = options.memory
        return print_memory(options.names[0], side, Path(folder), options.threads)
    if unknown := set(options.names) - STAGES.keys():
        parser.error(f"unknown stages {sorted(unknown)} (known: {', '.join(STAGES)})")
    import torch

    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"{options.threads} threads, {options.rounds} calls each, load {load:.1f} a core at first; medians")
    print("| network | input | ONNX, s/frame | PyTorch | ratio | ONNX peak, GB | PyTorch | file, MB |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            cells = measure(name, options.rounds, options.threads, Path(folder))
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
