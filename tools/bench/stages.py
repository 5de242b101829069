"""Stages outside the core: through ONNX, as the package runs them, against eager PyTorch, in one run.

    .venv/bin/python tools/bench/stages.py [NAME ...] [--rounds 7] [--threads 2]

Weights are random and the same on both sides, which take turns, so that load hits both.
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lhg_exporters import Export
from lhg_exporters.faces.iresnet import DEPTHS, IResNet
from lhg_exporters.faces.mobilenet import MobileNet
from lhg_exporters.faces.recon_net import ReconNet
from lhg_exporters.onnx_file import write_onnx
from lhg_jax.util import interop


@dataclasses.dataclass(frozen=True)
class Bench:
    """One row of the table.

    Attributes:
      build: the network.
      inputs: name -> shape of one call, as the stage makes it.
      frames: how many frames of video one call makes or measures.
      outputs: names.
    """

    build: Callable[[], torch.nn.Module]
    inputs: Mapping[str, tuple[int, ...]]
    frames: int
    outputs: tuple[str, ...] = ("output",)


REST_S = 0.02  # both run-times keep their threads spinning for a while after a call

STAGES: dict[str, Bench] = {
    "tddfa (mb05)": Bench(lambda: MobileNet(0.5), {"image": (16, 3, 120, 120)}, 16),
    "tddfa (mb1)": Bench(lambda: MobileNet(1.0), {"image": (16, 3, 120, 120)}, 16),
    "deep3d": Bench(ReconNet, {"image": (16, 3, 224, 224)}, 16),
    "arcface r18": Bench(lambda: IResNet(DEPTHS["r18"]), {"image": (16, 3, 112, 112)}, 16),
    "arcface r100": Bench(lambda: IResNet(DEPTHS["r100"]), {"image": (16, 3, 112, 112)}, 16),
}


def fill(module: torch.nn.Module, seed: int = 0) -> None:
    """Random weights that keep the signal's size through any depth, and norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
        elif tensor.is_floating_point():
            middle = float(name.endswith("weight"))
            tensor.normal_(middle, 0.1, generator=generator)


def measure(bench: Bench, rounds: int, threads: int, folder: Path) -> tuple[list[float], list[float], float]:
    """Seconds of each call of ONNX and of PyTorch, and their largest relative difference."""
    module = bench.build().eval()
    fill(module)
    example = {name: torch.rand(shape) for name, shape in bench.inputs.items()}
    path = folder / "stage.onnx"
    write_onnx(Export(module, example, bench.outputs, {}, "random", "none"), path)
    stage = interop.load_onnx(path, threads)
    arrays = {name: tensor.numpy() for name, tensor in example.items()}
    with torch.inference_mode():
        ours, theirs = stage(**arrays)[bench.outputs[0]], first(module(*example.values()))
    times = in_turns((lambda: stage(**arrays), lambda: module(*example.values())), rounds)
    return *times, float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def in_turns(
    calls: tuple[Callable[[], Any], Callable[[], Any]], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each call of both, made alternately."""
    times: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for _ in range(rounds):
            for side, call in zip(times, calls, strict=True):
                time.sleep(REST_S)
                start = time.perf_counter()
                call()
                side.append(time.perf_counter() - start)
    return times


def first(result: torch.Tensor | tuple[torch.Tensor, ...]) -> np.ndarray:
    return (result[0] if isinstance(result, tuple) else result).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(STAGES), help=", ".join(STAGES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if unknown := set(options.names) - STAGES.keys():
        parser.error(f"unknown stages {sorted(unknown)} (known: {', '.join(STAGES)})")
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"{options.threads} threads, {options.rounds} calls each, load {load:.1f} a core at first; medians")
    print("| stage | frames a call | ONNX, frames/s | PyTorch, frames/s | ratio | of fastest | difference |")
    print("|---|---|---|---|---|---|---|")
    for name in options.names:
        bench = STAGES[name]
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs, difference = measure(bench, options.rounds, options.threads, Path(folder))
        a, b = (bench.frames / statistics.median(times) for times in (ours, theirs))
        fastest = min(theirs) / min(ours)
        cells = f"{bench.frames} | {a:.3g} | {b:.3g} | {a / b:.2f} | {fastest:.2f} | {difference:.1e}"
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
