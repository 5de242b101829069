"""Predicted weak scaling of a configuration: the formulas and figures of docs/scaling.md, as a table.

python tools/predict_scaling.py --params 18.57e6 --flops-per-clip 46.4e9 --clips 32
"""

import dataclasses
import math

import tyro

from lhg_jax.training.flops import PEAKS


@dataclasses.dataclass(frozen=True)
class Chip:
    """Data sheet figures of one device.

    Attributes:
      peak: dense bfloat16 FLOP/s.
      bytes_per_s: that one device can send in a ring, one direction, among many devices.
      near_bytes_per_s: the same among up to 8.
      latency_s: of one hop of a small all-reduce (an assumption).
    """

    peak: float
    bytes_per_s: float
    near_bytes_per_s: float
    latency_s: float


CHIPS = {
    "TPU v5e": Chip(
        PEAKS["TPU v5e"], 100e9, 100e9, 1e-6
    ),  # 1,600 Gbit/s of interconnect a chip, half of it each way
    "TPU v5p": Chip(PEAKS["TPU v5p"], 300e9, 300e9, 1e-6),  # 4,800 Gbit/s
    # InfiniBand 400 Gbit/s a GPU; NVLink 900 GB/s, half each way
    "H100": Chip(PEAKS["NVIDIA H100 80GB HBM3"], 50e9, 450e9, 5e-6),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """One configuration; the defaults are configs/lhg_base.py."""

    params: float = 18.57e6
    """Parameters."""
    flops_per_clip: float = 46.4e9
    """Model FLOPs of a step for one clip, without the contrastive loss's products."""
    clips: int = 32
    """Clips on each device."""
    frames: int = 90
    """Time stamps of a clip."""
    level_size: int = 128
    """d of the contrastive loss."""
    words: float = 0.61
    """Share of the time stamps that have a word: anchors of the contrastive loss."""
    norms: int = 46
    """Batch norms."""
    mfu: float = 0.3
    """Share of the peak that computing alone reaches: an assumption."""


def contrastive_flops(options: Options, devices: int) -> float:
    """Of one device: all anchors against its columns, three products (similarities, two gradients)."""
    stamps = options.frames * options.clips
    return 3 * 2 * (options.words * stamps * devices) * (3 * stamps) * options.level_size


def times_s(options: Options, chip: Chip, devices: int) -> dict[str, float]:
    """Seconds of each part of a step, nothing overlapped."""
    share = (devices - 1) / devices
    text_bytes = 4 * options.words * options.frames * options.clips * devices * options.level_size
    hops = math.ceil(math.log2(devices))
    speed = options.mfu * chip.peak
    sent = chip.near_bytes_per_s if devices <= 8 else chip.bytes_per_s
    return {
        "model": options.flops_per_clip * options.clips / speed,
        "Eq. 2": contrastive_flops(options, devices) / speed,
        "gradients": 2 * share * 4 * options.params / sent,
        "f_t": (2 + 2) * share * text_bytes / sent,  # anchors and their gradients, both all-reduced
        "norms": 2 * options.norms * hops * chip.latency_s,
    }


def main(options: Options) -> None:
    parts = list(times_s(options, CHIPS["TPU v5e"], 1))
    print(
        "| chip | devices | "
        + " | ".join(f"{part}, ms" for part in parts)
        + " | efficiency | without Eq. 2 |"
    )
    print("|---|---:" + "|---:" * (len(parts) + 2) + "|")
    for name, chip in CHIPS.items():
        alone = sum(times_s(options, chip, 1).values())
        for devices in (8, 64, 512):
            times = times_s(options, chip, devices)
            cells = " | ".join(f"{1e3 * value:.2f}" for value in times.values())
            efficiency = alone / sum(times.values())
            without = times["model"] / (times["model"] + times["gradients"] + times["norms"])
            print(f"| {name} | {devices} | {cells} | {efficiency:.0%} | {without:.0%} |")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python tools/predict_scaling.py", description=__doc__))
