"""Eq. 2 with its gradient: the streaming form against the plain N x 3N form, time and peak memory.

    python tools/bench/contrastive.py [--stamps 720 5760 11520 50000 200000] [--chunk 720] [--runs 5]
                                       [--words 1]

`--words` is the share of time stamps that have a word, 0.61 in training crops; the plain form compares them
all. Times, by the clock and of the processor (all threads), are medians of runs in turn in one process; a
ratio below 1 says that the streaming form is faster. Peak memory is that of a process that computes loss and
gradient once, less that of one that does the same for 8 time stamps (Linux). The plain form stops at 11,520;
above, the times are that one computation's.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lhg_jax.losses import CONTRASTIVE, ContrastiveInputs

SIZE, TEMPERATURE, LARGEST_PLAIN = 128, 0.07, 11520


def features(stamps: int, words: float) -> tuple[jax.Array, ...]:
    """Random (text, low, mid, high), each [1, stamps, SIZE], and which stamps have a word [1, stamps]."""
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.standard_normal((1, stamps, SIZE), np.float32)) for _ in range(4)]
    return *arrays, jnp.asarray(rng.permutation(stamps)[None] < round(words * stamps))


def streaming(chunk: int):
    """Loss and gradient of the package."""

    def loss(text_BTD, low_BTD, mid_BTD, high_BTD, spoken_BT):
        levels, in_clip_BT = (low_BTD, mid_BTD, high_BTD), jnp.ones(text_BTD.shape[:2], bool)
        inputs = ContrastiveInputs(text_BTD, levels, spoken_BT, in_clip_BT, spoken_BT.astype(jnp.int32))
        return CONTRASTIVE["paper"](inputs, temperature=TEMPERATURE, chunk=chunk).mean()

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)))


def plain():
    """The same by the whole matrix."""

    def loss(*arrays):
        *arrays, spoken = arrays
        text, low, mid, high = (x[0] / jnp.linalg.norm(x[0], axis=-1, keepdims=True) for x in arrays)
        logits = text @ jnp.concatenate([low, mid, high]).T / TEMPERATURE
        values = jax.nn.logsumexp(logits, axis=1) - (text * high).sum(-1) / TEMPERATURE
        return jnp.where(spoken[0], values, 0).sum() / spoken.sum()

    return jax.jit(jax.value_and_grad(loss, (0, 1, 2, 3)))


def timed(function, arrays: tuple[jax.Array, ...]) -> tuple[float, float]:
    """Seconds of one call: by the clock, and of the processor, all threads."""
    start = time.perf_counter(), time.process_time()
    jax.block_until_ready(function(*arrays))
    return time.perf_counter() - start[0], time.process_time() - start[1]


def seconds(functions: list, arrays: tuple[jax.Array, ...], runs: int) -> list[tuple[float, float]]:
    """Medians of `timed` of each, after a check that all agree."""
    values = [function(*arrays)[0] for function in functions]
    np.testing.assert_allclose(values, values[0], rtol=1e-4)
    turns = [[timed(function, arrays) for function in functions] for _ in range(runs)]
    return [tuple(map(statistics.median, zip(*own, strict=True))) for own in zip(*turns, strict=True)]


def once(form: str, stamps: int, chunk: int, words: float) -> tuple[tuple[float, float], float]:
    """`timed`, and peak resident memory (GB), of a fresh process that computes `form` once."""
    command = [sys.executable, __file__, "--measure", form, "--stamps", str(stamps), "--chunk", str(chunk)]
    text = subprocess.check_output([*command, "--words", str(words)], text=True)
    wall, processor, peak = map(float, text.split())
    return (wall, processor), peak


def measure(form: str, stamps: int, chunk: int, words: float) -> None:
    """What that process does."""
    arrays = features(stamps, words)
    function = (plain() if form == "plain" else streaming(chunk)).lower(*arrays).compile()
    times = timed(function, arrays)
    # Not ru_maxrss, which a child inherits from its parent.
    status = Path("/proc/self/status").read_text()
    print(*times, int(status.split("VmHWM:")[1].split()[0]) / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stamps", type=int, nargs="+", default=[720, 5760, 11520, 50000, 200000])
    parser.add_argument("--chunk", type=int, default=720)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--words", type=float, default=1.0)
    parser.add_argument("--measure", choices=["streaming", "plain"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.stamps[0], args.chunk, args.words)
        return
    _, base = once("streaming", 8, args.chunk, args.words)
    print(f"chunk {args.chunk}, D {SIZE}, words {args.words}, {args.runs} runs, base {base:.2f} GB")
    print("     N | wall s: ours plain ratio | processor s: ours plain ratio | GB over base: ours plain")
    for stamps in args.stamps:
        forms = ["streaming", "plain"] if stamps <= LARGEST_PLAIN else ["streaming"]
        times, peaks = zip(*(once(form, stamps, args.chunk, args.words) for form in forms), strict=True)
        if len(forms) > 1:
            times = seconds([streaming(args.chunk), plain()], features(stamps, args.words), args.runs)
        columns = [with_ratio(kind) for kind in zip(*times, strict=True)]
        columns.append(" ".join(f"{x - base:6.2f}" for x in peaks))
        print(f"{stamps:6d} | {' | '.join(columns)}", flush=True)


def with_ratio(times: tuple[float, ...]) -> str:
    """Ours, and where there is one the plain form's and the ratio."""
    columns = [f"{x:8.3f}" for x in times]
    return " ".join([*columns, f"{times[0] / times[-1]:5.2f}"] if len(times) > 1 else columns)


if __name__ == "__main__":
    main()
