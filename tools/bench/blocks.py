"""Forward and backward of one residual block of each stage of the audio encoder: ours, naive, and PyTorch's.

    python tools/bench/blocks.py [--batch 8] [--frames 90] [--runs 5]

These blocks are nine tenths of the work of a training step of configs/lhg_base.py (train_step.py), in
a hundredth of the time to compile. All run in one process, in turn, on the same numbers and from the same
weights, which is checked. Milliseconds of processor time (all threads), medians; `naive` is compiled with
XLA's defaults, `torch` is the twin's block and `last` the same in the channels_last layout.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch_reference

from lhg_jax.features import MEL_BANDS, mel_steps
from lhg_jax.models.ha2g import audio_to_torch
from lhg_jax.models.resnet_se import SEBlock
from lhg_jax.training.compiler import compiler_options

STAGES = ((32, 3), (64, 4), (128, 6), (256, 3))  # (filters, blocks)


def jax_block(x_BTFC: jax.Array, weight: jax.Array, options: dict | None):
    """(variables, function) of a block: the function returns its gradients to parameters and input."""
    block, mask_BT = SEBlock(x_BTFC.shape[-1]), jnp.ones(x_BTFC.shape[:2], bool)
    variables = jax.jit(block.init, static_argnums=3)(jax.random.key(0), x_BTFC, mask_BT, True)

    def loss(params, x_BTFC):
        apply = {**variables, "params": params}
        (y_BTFC, _), _ = block.apply(apply, x_BTFC, mask_BT, True, mutable=["batch_stats"])
        return jnp.sum(y_BTFC * weight)

    step = jax.jit(jax.grad(loss, (0, 1)), compiler_options=options)
    return variables, step.lower(variables["params"], x_BTFC).compile()


def torch_block(variables, x_BTFC: np.ndarray, weight: np.ndarray, layout: torch.memory_format) -> Callable:
    """The twin's block with these weights, in [B, C, F, T]."""
    state = audio_to_torch({kind: {"layer1_0": tree} for kind, tree in variables.items()})
    block = torch_reference.SEBlock(x_BTFC.shape[-1], x_BTFC.shape[-1])
    block.load_state_dict(
        {
            name.removeprefix("feat_extractor.layer1.0."): torch.from_numpy(np.array(v))
            for name, v in state.items()
        }
    )
    x, w = (
        torch.from_numpy(a.transpose(0, 3, 2, 1)).contiguous(memory_format=layout) for a in (x_BTFC, weight)
    )
    block.to(memory_format=layout)
    x.requires_grad_()

    def run() -> torch.Tensor:
        block.zero_grad(set_to_none=True)
        x.grad = None
        (block(x) * w).sum().backward()
        return x.grad

    return run


def candidates(size: int, shape: tuple[int, ...]) -> dict[str, Callable]:
    """What to time at one stage, after a check that ours and the twin give the same input gradient."""
    rng = np.random.default_rng(size)
    x, weight = (rng.standard_normal(shape, np.float32) for _ in range(2))
    inputs = jnp.asarray(x), jnp.asarray(weight)
    variables, ours = jax_block(*inputs, compiler_options(jax.default_backend()))
    _, naive = jax_block(*inputs, None)
    params = variables["params"]
    twins = {
        name: torch_block(variables, x, weight, layout)
        for name, layout in [("torch", torch.contiguous_format), ("last", torch.channels_last)]
    }
    expected = twins["torch"]().numpy().transpose(0, 3, 2, 1)
    # By norm: a rounding error at zero switches a ReLU, and with it a few gradients.
    error = np.linalg.norm(ours(params, inputs[0])[1] - expected) / np.linalg.norm(expected)
    assert error < 5e-3, f"input gradients differ by {error:.1e} of their norm"
    functions = {"ours": ours, "naive": naive}
    calls = {name: lambda f=f: jax.block_until_ready(f(params, inputs[0])) for name, f in functions.items()}
    return {**calls, **twins}


def medians(functions: dict[str, Callable], runs: int) -> dict[str, tuple[float, float]]:
    """Median (processor, wall) milliseconds of each, run in turn."""
    times: dict[str, list] = {name: [] for name in functions}
    for run in range(runs + 1):
        for name, function in functions.items():
            processor, wall = time.process_time(), time.perf_counter()
            function()
            if run:  # the first is to warm up
                times[name].append((time.process_time() - processor, time.perf_counter() - wall))
    return {
        name: tuple(1e3 * statistics.median(column) for column in zip(*rows, strict=True))
        for name, rows in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    totals: dict[str, np.ndarray] = {}
    print("filters | processor ms (wall ms): ours, naive, torch, last")
    steps, bands = mel_steps(args.frames), MEL_BANDS
    for stage, (size, blocks) in enumerate(STAGES):
        if stage:
            steps, bands = -(-steps // 2), bands // 2
        times = medians(candidates(size, (args.batch, steps, bands, size)), args.runs)
        print(f"{size:7d} | " + "  ".join(f"{c:7.1f} ({w:7.1f})" for c, w in times.values()), flush=True)
        for name, pair in times.items():
            totals[name] = totals.get(name, np.zeros(2)) + blocks * np.array(pair)
    for name, (processor, wall) in totals.items():
        ratios = processor / totals["ours"][0], wall / totals["ours"][1]
        blocks = sum(count for _, count in STAGES)
        print(
            f"all {blocks} blocks, {name}: {ratios[0]:.2f} x ours in processor time, {ratios[1]:.2f} in wall"
        )


if __name__ == "__main__":
    main()
