"""The six-layer GRU of lhg_base in bfloat16 on a GPU, forward + backward: kernel, scan, torch's cuDNN.

    python tools/bench/gru_gpu.py [--batch 64 256 1024] [--frames 90] [--runs 20]

One process, in turns, medians of wall time; the kernel's gradient is first compared with the scan's.
"""

import argparse
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from gru import FEATURES, HIDDEN, LAYERS, medians

from lhg_jax.models import gru_triton
from lhg_jax.models.rnn import GRUStack


def jax_side(batch: int, frames: int, kernel: bool):
    """A function without arguments: loss and gradients."""
    stack, lengths = GRUStack(HIDDEN, LAYERS, dtype=jnp.bfloat16), jnp.full(batch, frames)
    x = jax.random.normal(jax.random.key(0), (batch, frames, FEATURES))
    params = stack.init(jax.random.key(1), x[:1], lengths[:1])

    def loss(params, x):
        return jnp.square(stack.apply(params, x, lengths)[0].astype(jnp.float32)).sum()

    with mock.patch.object(gru_triton, "fits", gru_triton.fits if kernel else lambda *_: False):
        step = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(params, x).compile()
    return lambda: jax.block_until_ready(step(params, x))


def torch_side(batch: int, frames: int):
    """The same on cuDNN."""
    import torch

    net = torch.nn.GRU(FEATURES, HIDDEN, LAYERS, batch_first=True, bidirectional=True)
    net = net.to("cuda", torch.bfloat16)
    x = torch.randn(batch, frames, FEATURES, device="cuda", dtype=torch.bfloat16, requires_grad=True)

    def step():
        net(x)[0].float().square().sum().backward()
        torch.cuda.synchronize()

    return step


def largest_difference(ours, theirs) -> float:
    """Of two trees of arrays, relative to the norm of each array."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return max(float(np.linalg.norm(np.asarray(a - b)) / np.linalg.norm(np.asarray(b))) for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    print(jax.devices()[0].device_kind)
    print("   B | ms: kernel, scan, cuDNN | difference of kernel and scan")
    for batch in args.batch:
        sides = {name: jax_side(batch, args.frames, name == "kernel") for name in ("kernel", "scan")}
        difference = largest_difference(sides["kernel"](), sides["scan"]())
        times = medians({**sides, "torch": torch_side(batch, args.frames)}, args.runs)
        columns = " ".join(f"{1e3 * seconds:8.2f}" for seconds in times.values())
        print(f"{batch:4d} | {columns} | {difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
