"""How fast the loader makes training batches, and what a clip weighs: `python tools/bench/pipeline.py`.

    python tools/bench/pipeline.py [--config FILE] [--folder DIR] [--workers 0 2] [--step-batch 8]

Without --folder, clips of 8-20 s of random numbers are written to a temporary folder: as heavy as real ones,
and as incompressible. Rates are from files that the system has in memory.
Processor time is that of this process and its workers, so that its rate means something on a busy machine,
too. The times of the stages are of one thread, the fastest of 200 calls each, and say what limits the loader.
The plain loop is numpy alone, without grain: whole clips read and decoded, cropped, augmented and stacked one
after the other; a second one reads crops in place, as the loader does.
With --step-batch the training step itself is timed on this machine's devices, in the same run.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from lhg_jax.config import TrainConfig, load_config
from lhg_jax.contract import Example, SpeakerFeatures
from lhg_jax.data.augment import augment
from lhg_jax.data.in_place import InPlaceSource
from lhg_jax.data.pipeline import Source, TrainStream, random_crop, to_devices
from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.data.schema import ClipInfo, decode, stack
from lhg_jax.features import mel_steps
from lhg_jax.motion import FRAME_RATE, LANDMARK
from lhg_jax.preparation.clip_jobs import make_clips, remove_clips
from lhg_jax.preparation.dataset import write_dataset
from lhg_jax.training.setup import TrainingSetup
from lhg_jax.training.sharding import batch_sharding

WORD_SIZE = 384  # of the default encoder
WORDS_PER_S = 2.1
STACKED = 32  # crops in the batch that is stacked for its time


def random_clip(rng: np.random.Generator) -> Example:
    """8-20 s of numbers in the ranges of real features."""
    frames = int(rng.uniform(8, 20) * FRAME_RATE)
    words = round(frames / FRAME_RATE * WORDS_PER_S)
    motion = rng.normal(0, 0.1, (2, frames, LANDMARK.size)).astype(np.float32)
    features = SpeakerFeatures(
        log_mel=rng.uniform(-80, 0, (mel_steps(frames), 128)).astype(np.float32),
        mfcc=rng.normal(0, 10, (frames, 39)).astype(np.float32),
        word_table=rng.normal(size=(words + 1, WORD_SIZE)).astype(np.float32),
        word_index=np.sort(rng.integers(0, words + 1, frames)).astype(np.int32),
        speaker_motion=motion[0],
        speaker_seen=np.ones(frames, bool),
        in_clip=np.ones(frames, bool),
    )
    return Example(features, motion[1], np.ones(frames, bool), np.int32(0))


@dataclasses.dataclass(frozen=True)
class RandomJob:
    """Clip `key` of random numbers; see `jobs.Job`."""

    key: str
    split: str = "train"

    @property
    def uuid(self) -> str:
        """The same."""
        return self.key

    def make(self) -> tuple[Example, ClipInfo]:
        """Draws the clip."""
        return random_clip(np.random.default_rng(int(self.key))), ClipInfo(self.key, space=LANDMARK.name)


def write_folder(folder: Path, clips: int) -> None:
    """A folder of random clips."""
    jobs, made = [RandomJob(str(number)) for number in range(clips)], folder / "clips"
    made.mkdir()
    make_clips(jobs, made, workers=1)
    write_dataset(folder, "bench", jobs, made, source="bench", seed=0)
    remove_clips(made)


def open_stream(config: TrainConfig, source: RecordSource, workers: int, batch: int) -> TrainStream:
    data = dataclasses.replace(config.data, workers=workers)
    return TrainStream(source, data, config.augment, batch_size=batch, seed=0)


def processor_seconds(workers: int) -> float:
    """Of this process, plus that of children that have ended, plus that of running ones (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    if workers:
        for child in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
            for pid in child.read_text().split():
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def measure_loader(
    config: TrainConfig, source: RecordSource, workers: int, seconds: float
) -> tuple[float, float]:
    """Clips per second of the clock, and of processor time.

    Counted once as many batches have come as are made at the same time, so that as many are half made at
    the start as at the end.
    """
    stream = open_stream(config, source, workers, config.train.batch_size)
    for _ in range(config.data.threads * max(workers, 1)):
        next(stream)
    start, used, batches = time.perf_counter(), processor_seconds(workers), 0
    while processor_seconds(workers) - used < seconds:
        next(stream)
        batches += 1
    clips = batches * config.train.batch_size
    return clips / (time.perf_counter() - start), clips / (processor_seconds(workers) - used)


def measure_loop(config: TrainConfig, clips: Source, seconds: float) -> float:
    """Clips per second of processor time of a loop in one thread."""
    rng, start, made = np.random.default_rng(0), time.process_time(), 0
    while time.process_time() - start < seconds:
        chosen = rng.permutation(len(clips))[: config.train.batch_size]
        cuts = (random_crop(clips[int(i)], config.data.crop_frames, rng) for i in chosen)
        stack((augment(cut, config.augment, rng) for cut in cuts), len(chosen))
        made += len(chosen)
    return made / (time.process_time() - start)


def measure_stages(config: TrainConfig, source: RecordSource, repeats: int = 200) -> dict[str, float]:
    """Microseconds of processor time a clip spends in each stage, in one thread; fastest of some calls."""
    rng = np.random.default_rng(0)
    record, frames = source.record(0), config.data.crop_frames
    in_place = InPlaceSource(source)
    clip = in_place[0]
    cut = random_crop(clip, frames, rng)
    stages = {
        "read": lambda: source.record(int(rng.integers(len(source)))),
        "decode": lambda: decode(record, 0),
        "in place": lambda: in_place[int(rng.integers(len(source)))],
        "crop": lambda: random_crop(clip, frames, rng),
        "augment": lambda: augment(cut, config.augment, rng),
        "stack": lambda: stack([cut] * STACKED, STACKED),
    }
    return {
        name: fastest_us(call, repeats) / (STACKED if name == "stack" else 1) for name, call in stages.items()
    }


def fastest_us(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - start)
    return min(times) / 1000


def measure_step(config: TrainConfig, source: RecordSource, batch: int, steps: int) -> float:
    """Clips per second that the training step takes, fastest of some steps."""
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=batch))
    setup = TrainingSetup(config, source, None)
    state = setup.init_state()
    crops = next(to_devices(open_stream(config, source, 0, batch), batch_sharding(setup.mesh)))
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        state, metrics = setup.step(state, crops, setup.key)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - start)
    return batch / min(times[1:])


def report_weights(config: TrainConfig, source: RecordSource) -> None:
    disk = sum(Path(source.folder, shard).stat().st_size for shard in source.metadata.shards)
    seconds = sum(source.metadata.frames) / FRAME_RATE
    print(
        f"on disk: {disk / len(source):,.0f} bytes a clip of {seconds / len(source):.1f} s, "
        f"{disk / seconds:,.0f} a second"
    )
    crops = next(open_stream(config, source, 0, 4))
    weight = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(crops)) / 4
    print(f"in a batch: {weight:,.0f} bytes a crop of {config.data.crop_frames} frames")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/lhg_base.py")
    parser.add_argument("--folder")
    parser.add_argument("--clips", type=int, default=320, help="random clips to write")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of processor time, for each measurement of the loader"
    )
    parser.add_argument("--step-batch", type=int, default=0, help="0: do not time the step")
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args()
    config = load_config(args.config)
    with tempfile.TemporaryDirectory() as temporary:
        if not args.folder:
            write_folder(Path(temporary), args.clips)
        source = open_source(args.folder or temporary)
        report_weights(config, source)
        stages = measure_stages(config, source)
        print(", ".join(f"{name} {us:.0f}" for name, us in stages.items()), end=" us a clip, ")
        whole = sum(us for name, us in stages.items() if name not in ("read", "decode"))
        print(f"{1e6 / whole:,.0f} clips/s in one thread without reading and decoding whole clips")
        for name, clips in (("plain", source), ("in-place", InPlaceSource(source))):
            rate = measure_loop(config, clips, args.seconds)
            print(f"{name} loop: {rate:,.0f} clips/s per second of one core")
        for workers in args.workers:
            wall, processor = measure_loader(config, source, workers, args.seconds)
            print(f"{workers} workers: {wall:,.0f} clips/s, {processor:,.0f} per second of one core")
        if args.step_batch:
            step = measure_step(config, source, args.step_batch, args.steps)
            print(f"the step takes {step:,.1f} clips/s on {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
