"""PIRenderer and RVRT at full size: seconds a frame through ONNX and eager PyTorch on the CPU, peak memory.

    .venv/bin/python tools/bench/portrait_stages.py [NAME ...] [--rounds 3] [--threads 2]

Weights are random and the same on both sides, which take turns, so that load hits both. Memory is that of a
process of its own which does nothing but load the ONNX file and run it once.
"""

import argparse
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Bench:
    """One row of the table.

    Attributes:
      stage: name of the export.
      key: under which the official file has its tensors.
      build: the network.
      batch: frames of one call where the export's example has fewer, as the renderer makes it.
    """

    stage: str
    key: str
    build: Callable
    batch: int | None = None


def pirenderer():
    from lhg_exporters.pirenderer.network import PIRenderer

    return PIRenderer()


def rvrt(width: int, enlarges: bool, inputs: int, groups: tuple[int, ...]):
    from lhg_exporters.rvrt.network import RVRT, RVRTConfig

    return RVRT(RVRTConfig(width, enlarges, inputs, groups))


STAGES = {
    "pirenderer": Bench("pirenderer", "net_G_ema", pirenderer, batch=4),
    "rvrt-sr": Bench("rvrt", "params", lambda: rvrt(144, True, 3, (1, 1, 1, 1, 1, 1))),
    "rvrt-deblur": Bench("rvrt", "params", lambda: rvrt(192, False, 3, (1, 3, 3, 3, 3, 3))),
    "rvrt-denoise": Bench("rvrt", "params", lambda: rvrt(192, False, 4, (1, 3, 4, 6, 8, 4))),
}


def official_file(bench: Bench, path: Path) -> None:
    """Random weights that keep the signal's size, as the authors publish theirs."""
    import torch

    torch.manual_seed(0)
    module = bench.build().requires_grad_(False)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5)
    torch.save({bench.key: module.state_dict()}, path)


def measure(bench: Bench, rounds: int, threads: int, folder: Path) -> str:
    """Cells of the table."""
    from lhg_exporters import load_export
    from lhg_exporters.onnx_file import write_onnx
    from tools.bench.stages import in_turns  # imports PyTorch, which is no part of the memory

    official_file(bench, folder / "official.pt")
    exported, path = load_export(bench.stage, folder / "official.pt"), folder / "stage.onnx"
    write_onnx(exported, path)
    example = exported.example
    if bench.batch:
        example = {name: x[:1].expand(bench.batch, *x.shape[1:]).contiguous() for name, x in example.items()}
    np.savez(folder / "input.npz", **{name: x.numpy() for name, x in example.items()})
    child = [sys.executable, __file__, "--memory", str(folder), "--threads", str(threads)]
    peak_gb = float(subprocess.run(child, check=True, capture_output=True, text=True).stdout)

    stage = interop.load_onnx(path, threads)
    arrays = {name: x.numpy() for name, x in example.items()}
    times = in_turns((lambda: stage(**arrays), lambda: exported.module(*example.values())), rounds)
    frames = bench.batch or next(iter(example.values())).shape[1]
    ours, theirs = (statistics.median(side) / frames for side in times)
    size = " x ".join(str(n) for n in next(iter(example.values())).shape)
    mb = path.stat().st_size / 1e6
    return f"{size} | {ours:.3g} | {theirs:.3g} | {theirs / ours:.2f} | {peak_gb:.2f} | {mb:.0f}"


def print_memory(folder: Path, threads: int) -> None:
    """GB that this process needed at its peak to run the network once."""
    stage = interop.load_onnx(folder / "stage.onnx", threads)
    with np.load(folder / "input.npz", allow_pickle=False) as arrays:
        stage(**arrays)
    print(peak_memory_mb() / 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(STAGES), help=", ".join(STAGES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        return print_memory(options.memory, options.threads)
    if unknown := set(options.names) - STAGES.keys():
        parser.error(f"unknown stages {sorted(unknown)} (known: {', '.join(STAGES)})")
    import torch

    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"{options.threads} threads, {options.rounds} calls each, load {load:.1f} a core at first; medians")
    print("| network | input | ONNX, s/frame | PyTorch, s/frame | ratio | ONNX peak, GB | file, MB |")
    print("|---|---|---|---|---|---|---|")
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            cells = measure(STAGES[name], options.rounds, options.threads, Path(folder))
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
