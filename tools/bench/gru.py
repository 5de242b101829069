"""Six-layer bidirectional GRU (384 -> 256): ours against torch.nn.GRU, forward and forward + backward.

    python tools/bench/gru.py [--batch 1 8 16 64] [--frames 90 900] [--runs 15]

Both sides run in one process, in turn, on the same numbers and the same cores; medians of wall time. On AMD
processors torch's MKL may pick a slow path: run once more with MKL_ENABLE_INSTRUCTIONS=AVX2 or
MKL_DEBUG_CPU_TYPE=5 in the environment and compare. Long sequences want the allocator's settings of
train_step.py.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from lhg_jax.models.rnn import GRUStack, from_torch

FEATURES, HIDDEN, LAYERS = 384, 256, 6


def medians(functions: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median seconds of each function, run in turn so that a busy machine slows all of them alike."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def candidates(batch: int, frames: int) -> dict[str, Callable[[], object]]:
    """The four things to time, after a check that both sides compute the same loss and gradient."""
    import torch

    x = np.random.default_rng(0).standard_normal((batch, frames, FEATURES)).astype(np.float32)
    net = torch.nn.GRU(FEATURES, HIDDEN, LAYERS, batch_first=True, bidirectional=True)
    stack, lengths = GRUStack(HIDDEN, LAYERS), jnp.full(batch, frames)
    params = jax.device_put(from_torch(stack, {k: v.numpy() for k, v in net.state_dict().items()}))
    x_jax, x_torch = jnp.asarray(x), torch.tensor(x, requires_grad=True)

    def loss(params, x):
        return jnp.square(stack.apply({"params": params}, x, lengths)[0]).mean()

    forward, both = jax.jit(loss), jax.jit(jax.value_and_grad(loss, (0, 1)))

    def torch_forward():
        with torch.no_grad():
            return net(x_torch)[0].square().mean()

    def torch_both():
        net.zero_grad(set_to_none=True)
        x_torch.grad = None
        value = net(x_torch)[0].square().mean()
        value.backward()
        return value

    value, (_, grad_x) = both(params, x_jax)
    np.testing.assert_allclose(value, torch_both().item(), rtol=1e-4)
    expected = x_torch.grad.numpy()
    np.testing.assert_allclose(grad_x, expected, atol=1e-4 * np.abs(expected).max())
    return {
        "ours forward": lambda: jax.block_until_ready(forward(params, x_jax)),
        "torch forward": torch_forward,
        "ours both": lambda: jax.block_until_ready(both(params, x_jax)),
        "torch both": torch_both,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 16, 64])
    parser.add_argument("--frames", type=int, nargs="+", default=[90, 900])
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    cores = torch.get_num_threads()
    print(f"{jax.devices()[0].platform}, {cores} cores, torch {torch.__version__}, {args.runs} runs")
    print("   B    T | forward ms: ours torch ratio | forward + backward ms: ours torch ratio")
    for frames in args.frames:
        for batch in args.batch:
            t = {k: 1e3 * v for k, v in medians(candidates(batch, frames), args.runs).items()}
            pairs = [(t[f"ours {kind}"], t[f"torch {kind}"]) for kind in ("forward", "both")]
            columns = [f"{ours:8.1f} {twin:8.1f} {twin / ours:5.2f}" for ours, twin in pairs]
            print(f"{batch:4d} {frames:4d} | {columns[0]} | {columns[1]}", flush=True)


if __name__ == "__main__":
    main()
