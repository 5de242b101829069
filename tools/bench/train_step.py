"""The full training step (forward, backward, clipping, AdamW) of configs/lhg_base.py against others.

    python tools/bench/train_step.py [--batch 8 16] [--against eager channels_last compile best naive]
                                     [--dtype float32] [--runs 7] [--steps 1] [--peak-tflops X]

`eager` is the PyTorch twin of the same layers (torch_reference.py); `channels_last` and `compile` are the
same in that memory layout and under torch.compile, `best` both; `naive` is ours with the parts of
flax_baseline.py and XLA's default options. Each runs in a process of its own on the same batch and from the
same weights, which is checked by loss and gradient norm (but for `naive`, whose recurrence has its own
weights). Two processes take `--steps` steps each in turn. Wall time and processor time (all threads) of a
step are medians; a ratio above 1 says that ours is faster. Ours also keeps the average of the weights and
skips updates that are not finite.

On an accelerator: --dtype bfloat16 --batch 64 256 --steps 10 --peak-tflops 989 (H100, H200) also prints the
share of that peak. Both sides prepare a step while the device computes the one before, as in training, where
losses are read every so many steps. `alone` is ours without another. A comparison there takes some four
minutes, most of it compilation.

On AMD processors torch's MKL may pick a slow path; compare with MKL_DEBUG_CPU_TYPE=5 in the environment.
MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=4000000000, all three, spare both
sides page faults.
"""

import argparse
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WORD_SIZE, WORDS = 384, 24
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-3, 0.01, 1.0
TORCH_KINDS = ("eager", "channels_last", "compile", "best")
Steps = Callable[[int], tuple[float, float]]  # that many steps: loss and gradient norm before the last
WITH_FLOPS = "ours"  # the kind whose model FLOPs are counted (training/flops.py)


def random_batch(size: int, frames: int):
    """Full-length clips of random features in the landmark space."""
    from lhg_jax.contract import Example, SpeakerFeatures, style_vector
    from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps
    from lhg_jax.motion import LANDMARK

    rng = np.random.default_rng(0)

    def normal(*shape, scale=1.0):
        return scale * rng.standard_normal((size, *shape), np.float32)

    table = normal(WORDS, WORD_SIZE)
    table[:, 0] = 0
    features = SpeakerFeatures(
        log_mel=np.clip(normal(mel_steps(frames), MEL_BANDS, scale=20) - 40, -80, 0),
        mfcc=normal(frames, MFCC_SIZE, scale=10),
        word_table=table,
        word_index=np.sort(rng.integers(0, WORDS, (size, frames)), axis=1).astype(np.int32),
        speaker_motion=normal(frames, LANDMARK.size, scale=0.1),
        speaker_seen=np.ones((size, frames), bool),
        in_clip=np.ones((size, frames), bool),
    )
    seen, style = np.ones((size, frames), bool), np.tile(style_vector(), (size, 1))
    return Example(features, normal(frames, LANDMARK.size, scale=0.1), seen, np.zeros(size, np.int32), style)


@functools.cache
def base_config():
    """The settings of configs/lhg_base.py."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "configs"))
    import lhg_base

    return lhg_base.config


def model_config(dtype: str):
    """The model of configs/lhg_base.py, without dropout (whose numbers would differ)."""
    return dataclasses.replace(base_config().model, dropout=0.0, dtype=dtype)


def jax_step(kind: str, args: argparse.Namespace) -> tuple[Steps, int]:
    """Our step (`ours`, which writes its weights for the twin), or its naive version; and model FLOPs."""
    import contextlib

    import flax_baseline
    import jax
    import optax

    from lhg_jax.models import Listener
    from lhg_jax.motion import LANDMARK
    from lhg_jax.training.compiler import compiler_options
    from lhg_jax.training.flops import count_flops
    from lhg_jax.training.objective import make_objective
    from lhg_jax.training.optimizer import decay_mask
    from lhg_jax.training.state import init_state
    from lhg_jax.training.step import train_step

    batch = jax.tree.map(jax.numpy.asarray, random_batch(args.batch[0], args.frames))
    model = Listener(model_config(args.dtype))
    optimizer = optax.chain(
        optax.clip_by_global_norm(CLIP_NORM),
        optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY, mask=decay_mask()),
    )
    zeros, key = np.zeros(LANDMARK.size, np.float32), jax.random.key(0)
    with flax_baseline.naive_parts() if kind == "naive" else contextlib.nullcontext():
        objective = make_objective(base_config().loss, LANDMARK)
        init = functools.partial(init_state, model, optimizer, batch, 0, zeros, zeros + 1)
        state = jax.jit(init, compiler_options={"xla_backend_optimization_level": 0})()
        settings = {"model": model, "objective": objective, "optimizer": optimizer, "ema_decay": 0.999}
        options = compiler_options(jax.default_backend()) if kind == "ours" else None
        step = functools.partial(train_step, **settings)
        flops = count_flops(step, state, batch, key) if kind == WITH_FLOPS else 0
        step = jax.jit(step, donate_argnums=0, compiler_options=options)
        if kind == "ours":
            write_weights(state, args.weights)
        step = step.lower(state, batch, key).compile()

    def run(count: int) -> tuple[float, float]:
        nonlocal state
        for _ in range(count):
            state, metrics = step(state, batch, key)
        return float(metrics["loss"]), float(metrics["grad_norm"])

    return run, flops


def write_weights(state, path: str) -> None:
    """For the twin, which is told by a line that they are there, so that both compile at once."""
    import torch_reference

    np.savez(path, **torch_reference.state_dict(state.eval_variables))
    print(json.dumps("written"), flush=True)


def torch_step(kind: str, args: argparse.Namespace) -> tuple[Steps, int]:
    """The twin's step, from the weights that `ours` wrote."""
    import torch
    import torch_reference

    from lhg_jax.features import MFCC_SIZE
    from lhg_jax.motion import LANDMARK

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as JAX has it by default
    config, losses = model_config(args.dtype), base_config().loss
    net = torch_reference.Twin(config, WORD_SIZE, MFCC_SIZE)
    stored = np.load(args.weights)
    net.load_state_dict({name: torch.from_numpy(stored[name]) for name in net.state_dict()})
    net.to(device)
    if kind in ("channels_last", "best"):
        net.to(memory_format=torch.channels_last)
    call, contrastive = net, torch_reference.contrastive_loss
    if kind in ("compile", "best"):
        call, contrastive = torch.compile(call), torch.compile(contrastive)
    named = list(net.parameters())
    groups = [
        {"params": [p for p in named if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, LEARNING_RATE)
    batch = random_batch(args.batch[0], args.frames)
    f = batch.features
    words = np.take_along_axis(f.word_table, f.word_index[..., None], axis=1)
    log_mel = (f.log_mel - config.mel_offset_db) / config.mel_scale_db
    target, anchors = batch.listener_motion, f.word_index > 0
    arrays = (log_mel, f.mfcc, words, f.speaker_motion, target[:, 0], target, anchors)
    *inputs, target, anchors = (torch.from_numpy(array).to(device) for array in arrays)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=args.dtype == "bfloat16"):
            motion, text, levels = call(*inputs)
        value = torch_reference.motion_loss(motion, target, LANDMARK.slice("exp"))
        value = value + losses.contrastive_weight * contrastive(text, levels, anchors, losses.temperature)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(named, CLIP_NORM)
        optimizer.step()
        return value, norm

    def run(count: int) -> tuple[float, float]:
        for _ in range(count):
            value, norm = step()
        return value.item(), norm.item()

    return run, 0


def work(args: argparse.Namespace) -> None:
    """A worker: reports the first step's loss and norm and its FLOPs, then times for each line read."""
    run, flops = (torch_step if args.worker in TORCH_KINDS else jax_step)(args.worker, args)
    print(json.dumps([*run(1), flops]), flush=True)
    run(1)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        run(args.steps)
        times = time.perf_counter() - wall, time.process_time() - processor
        print(json.dumps([seconds / args.steps for seconds in times]), flush=True)


class Worker:
    """A process that takes steps when asked."""

    def __init__(self, kind: str, batch: int, args: argparse.Namespace, weights: str):
        options = ["--worker", kind, "--weights", weights, "--batch", str(batch)]
        options += ["--dtype", args.dtype, "--frames", str(args.frames), "--steps", str(args.steps)]
        command = [sys.executable, __file__, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.times: list[tuple[float, float]] = []

    def read(self):
        """The next thing that it reports."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended early: {' '.join(self.process.args)}")
        return json.loads(line)

    def step(self) -> None:
        """`--steps` steps, timed by the worker."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(self.read())

    def medians(self) -> tuple[float, float]:
        """Wall and processor seconds of a step."""
        return tuple(statistics.median(column) for column in zip(*self.times, strict=True))

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def compare(kind: str, batch: int, args: argparse.Namespace) -> None:
    """One row: ours and another, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder, "weights.npz"))
        workers = [Worker("ours", batch, args, weights)]
        workers[0].read()
        if kind != "alone":
            workers.append(Worker(kind, batch, args, weights))
        first = [worker.read() for worker in workers]
    if kind in TORCH_KINDS:
        # One step's loss and gradient norm, before any update.
        tolerance = 1e-3 if args.dtype == "float32" else 5e-2
        np.testing.assert_allclose(first[1][:2], first[0][:2], rtol=tolerance)
    for _ in range(args.runs):
        for worker in workers:
            worker.step()
    wall, processor = zip(*(worker.medians() for worker in workers), strict=True)
    for worker in workers:
        worker.close()
    clips = batch / wall[0]
    row = f"{batch:4d} {kind:13s} | {columns(wall)} | {columns(processor)} | {clips:8.2f}"
    if args.peak_tflops:
        row += f" {first[0][2] / wall[0] / args.peak_tflops / 1e10:6.1f} % of peak"
    print(row, flush=True)


def columns(seconds: tuple[float, ...]) -> str:
    """Ours, the other's, and the ratio."""
    ours, other = seconds[0], seconds[-1] if len(seconds) > 1 else np.nan
    return f"{ours:7.3f} {other:7.3f} {other / ours:5.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16])
    kinds = [*TORCH_KINDS, "naive"]
    parser.add_argument("--against", nargs="+", choices=[*kinds, "alone"], default=kinds)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--frames", type=int, default=90, help="2 more than a multiple of 4")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1, help="a run: the loss is read after the last of them")
    parser.add_argument("--peak-tflops", type=float, help="of the accelerator in this dtype")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args)
        return
    print("   B against       | wall s: ours other ratio | processor s: ours other ratio | our clips/s")
    for batch in args.batch:
        for kind in args.against:
            compare(kind, batch, args)


if __name__ == "__main__":
    main()
