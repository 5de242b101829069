"""What one training step computes and sends, read from its jaxpr and from the program that XLA makes of it.

Nothing is run: the step is compiled for fake devices, and the collectives in the result are counted.

  python tools/scaling.py --config configs/lhg_base.py --devices 64 --fsdp 1
"""

import collections
import dataclasses
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tyro

# What comes after partitioning does not matter here and takes most of the time.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "f64": 8}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# One result or a tuple of them, then the operation; `-start` is its asynchronous form.
COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(")
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{$")
CALLED = re.compile(r"(?:body|calls|to_apply)=%?([\w.-]+)")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Options:
    """Which step, on how many devices."""

    config: Path = Path("configs/lhg_base.py")
    """Settings; the data need not exist."""
    devices: int = 64
    """Fake devices."""
    fsdp: int = 1
    """Devices that share one copy of the parameters."""
    clips_per_device: int = 4
    """Batch size over devices."""
    words: int = 24
    """Word rows of a crop."""


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one step, on all devices together; of collectives, on each.

    Attributes:
      params: number of parameters.
      flops: model FLOPs.
      frames: time stamps in the batch.
      collectives: kind -> (number, bytes of the results on one device).
    """

    params: int
    flops: int
    frames: int
    collectives: dict[str, tuple[int, int]]


def collectives(program: str) -> dict[str, tuple[int, int]]:
    """Number and result bytes of each kind of collective that an optimised HLO text runs, loops unrolled.

    A loop that a flag starts (losses/bounded.py's, which does what training never needs) does not count.
    """
    lines: dict[str, list[str]] = collections.defaultdict(list)
    entry = name = ""
    for line in program.splitlines():
        if found := COMPUTATION.match(line):
            name = found[2]
            entry = name if found[1] else entry
        lines[name].append(line)
    count: dict[str, int] = collections.Counter()
    size: dict[str, int] = collections.Counter()

    def visit(name: str, times: int) -> None:
        for line in lines[name][1:]:
            if found := COLLECTIVE.search(line):
                count[found[2]] += times
                size[found[2]] += times * sum(_bytes(*array) for array in ARRAY.findall(found[1]))
            trips = TRIPS.search(line)
            turns = int(trips[1]) if trips else int(" while(" not in line)
            for called in CALLED.findall(line):
                visit(called, times * turns)

    visit(entry, 1)
    return {kind: (count[kind], size[kind]) for kind in KINDS if count[kind]}


def _bytes(dtype: str, shape: str) -> int:
    return BYTES[dtype] * int(np.prod([int(n) for n in shape.split(",") if n]))


def cost(options: Options) -> Cost:
    """Traces and compiles the step."""
    import jax

    from lhg_jax.config import load_config
    from lhg_jax.training.setup import TrainingSetup
    from lhg_jax.training.sharding import batch_sharding

    config = load_config(options.config)
    size = options.devices * options.clips_per_device
    train = dataclasses.replace(config.train, batch_size=size, fsdp=options.fsdp)
    data = dataclasses.replace(config.data, eval_batch_size=options.devices)
    source: Any = ShapeSource(data.crop_frames, options.words)
    setup = TrainingSetup(dataclasses.replace(config, train=train, data=data), source, None)
    state, key = setup.abstract_state(), setup.key
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype, sharding=batch_sharding(setup.mesh)),
        source[0],
    )
    params = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(state.params))
    program = setup.step.lower(state, batch, key).compile().as_text()
    return Cost(params, setup.flops(), size * data.crop_frames, collectives(program))


class ShapeSource:
    """One silent clip in place of a prepared folder."""

    def __init__(self, frames: int, words: int):
        from lhg_jax.contract import Example, SpeakerFeatures
        from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps
        from lhg_jax.motion import LANDMARK

        size, zeros = LANDMARK.size, np.zeros
        features = SpeakerFeatures(
            log_mel=zeros((mel_steps(frames), MEL_BANDS), np.float32),
            mfcc=zeros((frames, MFCC_SIZE), np.float32),
            word_table=zeros((words + 1, 384), np.float32),
            word_index=zeros(frames, np.int32),
            speaker_motion=zeros((frames, size), np.float32),
            speaker_seen=np.ones(frames, bool),
            in_clip=np.ones(frames, bool),
        )
        self._clip = Example(features, zeros((frames, size), np.float32), np.ones(frames, bool), np.int32(0))
        self.space = LANDMARK
        self.metadata = SimpleNamespace(mean=zeros(size), std=np.ones(size))

    def __getitem__(self, index: int):
        return self._clip


def main(options: Options) -> None:
    os.environ["XLA_FLAGS"] = f"{QUICK} --xla_force_host_platform_device_count={options.devices}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    found = cost(options)
    print(f"parameters {found.params:,}, model FLOPs a step {found.flops:.4g}, time stamps {found.frames:,}")
    for kind, (count, size) in found.collectives.items():
        print(f"{kind}: {count}, {size:,} bytes")


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python tools/scaling.py", description=__doc__))
