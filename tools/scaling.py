"""What one training step computes and sends, read from its jaxpr and from the program that XLA makes of it.

Nothing is run: the step is compiled for fake devices, and the collectives in the result are counted.

  python tools/scaling.py --config configs/lhg_base.py --devices 64 --fsdp 1
"""

import collections
import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tyro
from xla_program import COLLECTIVES, parse

# What comes after partitioning does not matter here and takes most of the time.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


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
    count: dict[str, int] = collections.Counter()
    size: dict[str, int] = collections.Counter()
    for _, instruction, times in parse(program).executed():
        kind = instruction.opcode.removesuffix("-start")  # the asynchronous form
        if kind in COLLECTIVES:
            count[kind] += times
            size[kind] += times * sum(array.bytes for array in instruction.arrays)
    return {kind: (count[kind], size[kind]) for kind in COLLECTIVES if count[kind]}


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
