"""Image metrics per 256x256 frame: SSIM + PSNR against piq, CPBD against a plain loop over pixels.

    .venv/bin/python tools/bench/metrics.py [--frames 32] [--rounds 5]

piq is only needed here (`pip install --no-deps piq`); without it that comparison is skipped. The loops are
those of the specification that `tests/metrics_cpbd_test.py` also checks against; the package `cpbd` itself no
longer imports.
"""

import argparse
import importlib
import os
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import jax
import numpy as np

from lhg_jax.metrics import cpbd, image

ROOT = Path(__file__).resolve().parents[2]


def pictures(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A portrait and a slightly blurred copy of it, moving; uint8 [frames, 256, 256, 3]."""
    import cv2
    from skimage.data import astronaut

    portrait = astronaut()[:256, 96:352]
    truth = np.stack([np.roll(portrait, index, axis=1) for index in range(frames)])
    return truth, np.stack([cv2.GaussianBlur(picture, (5, 5), 0.8) for picture in truth])


def median_ms(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of each function after a call to warm up; they take turns, so that load hits both."""
    for run in functions.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, run in functions.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def compare(what: str, times: dict[str, float]) -> None:
    """Prints both times and their ratio; the first is ours."""
    (_, ours), (name, theirs) = times.items()
    print(f"{what}: ours {ours:.2f} ms a frame, {name} {theirs:.2f}, ratio {theirs / ours:.1f}")


def piq_metrics(
    truth: np.ndarray, prediction: np.ndarray
) -> Callable[[], tuple[np.ndarray, np.ndarray]] | None:
    """piq's SSIM and PSNR of the batch from uint8, or None where piq or torch is missing."""
    try:
        if importlib.util.find_spec("torchvision") is None:  # piq wants it for other metrics than these
            stub = types.ModuleType("torchvision")
            stub.models = sys.modules["torchvision.models"] = mock.MagicMock()
            sys.modules["torchvision"] = stub
        piq, torch = importlib.import_module("piq"), importlib.import_module("torch")
    except ImportError:
        return None

    def run() -> tuple[np.ndarray, np.ndarray]:
        a, b = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in (truth, prediction))
        ssim = piq.ssim(a, b, data_range=1.0, reduction="none")
        return ssim.numpy(), piq.psnr(a, b, data_range=1.0, reduction="none").numpy()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    truth, prediction = pictures(options.frames)
    print(f"{len(os.sched_getaffinity(0))} cores, {jax.devices()[0].platform}, {options.frames} frames")

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(image.ssim(truth, prediction)), image.psnr(truth, prediction)

    theirs = piq_metrics(truth, prediction)
    if theirs is None:
        print("SSIM + PSNR: left out, piq and torch are not installed")
    else:
        times = median_ms({"ours": ours, "piq": theirs}, options.rounds)
        compare("SSIM + PSNR", {name: value / options.frames for name, value in times.items()})
        for name, a, b in zip(("SSIM", "PSNR"), ours(), theirs(), strict=True):
            print(f"largest difference of {name}: {np.abs(a - b).max():.1e}")

    sys.path.insert(0, str(ROOT / "tests"))
    by_loops = importlib.import_module("metrics_loops").cpbd_by_loops
    grey = next(cpbd.grey_levels(prediction))
    runs = {"ours": lambda: cpbd.cpbd(grey), "loops": lambda: by_loops(grey)}
    compare("CPBD", median_ms(runs, options.rounds))
    print(f"difference of CPBD: {cpbd.cpbd(grey) - by_loops(grey)}")


if __name__ == "__main__":
    main()
