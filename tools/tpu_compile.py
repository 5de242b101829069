"""What a training step costs on TPUs, by their real compiler, without a TPU.

libtpu compiles for chips that are not there (extra `tpu`: `pip install -e '.[tpu]'`, into an environment of
its own, for with libtpu installed JAX looks for chips in every program). Nothing is run. The table is read
from the compiled program: loops as often as they run, arrays with their padding.

  python tools/tpu_compile.py --topology v5e:4x4 --clips-per-device 32 --config configs/lhg_base.py \
      --override loss.contrastive=word loss.contrastive_options.words=16 --program out/v5e_4x4.hlo

A program that --program has kept is read again where it is there, which takes seconds.
"""

import dataclasses
import importlib.util
import math
import os
import resource
import time
from pathlib import Path
from typing import Any, Literal

import tyro
from tpu_costs import Collective, Cost, collectives, costs, total
from xla_program import Program, parse

from lhg_jax.util.errors import UserError, run_cli

COSTLIEST = 10


@dataclasses.dataclass(frozen=True)
class Chip:
    """Data sheet figures.

    Attributes:
      kind: JAX's `device_kind`, as in training/flops.py.
      flops: dense bfloat16 FLOP/s.
      bytes_per_s: of the main memory.
      sent_per_s: bytes/s over the interconnect, one way: half of all links.
      clock_hz: `flops` over the multiply-adds of a cycle; turns the compiler's cycles into time.
    """

    kind: str
    flops: float
    bytes_per_s: float
    sent_per_s: float
    clock_hz: float


CHIPS = {
    "v5e": Chip("TPU v5 lite", 197e12, 819e9, 100e9, 197e12 / (2 * 4 * 128 * 128)),
    "v5p": Chip("TPU v5", 459e12, 2765e9, 300e9, 459e12 / (2 * 8 * 128 * 128)),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which step, for which chips."""

    topology: str = "v5e:4x4"
    """KIND:XxY(xZ), kinds v5e and v5p."""
    clips_per_device: int = 32
    """Batch size over chips."""
    config: Path = Path("configs/lhg_base.py")
    """Settings; the data need not exist."""
    part: Literal["step", "loss"] = "step"
    """The whole step, or the contrastive loss with its gradients: seconds to compile, and all that grows."""
    override: tuple[str, ...] = ()
    """KEY=VALUE, as in tools/sweep.py."""
    words: int = 24
    """Word rows of a crop."""
    anchors: float = 1.0
    """Share of anchors (time stamps that have a word, 0.61 in training): Eq. 2's loop ends with the last."""
    effort: float = 0.0
    """-1: the compiler takes a quarter of the time for a slower program, to compare two of them."""
    lanes: int = 128
    """Channels that narrow feature maps are folded to (models/folding.py); 0: none are, as on CPUs."""
    program: Path | None = None
    """Where the compiled program is kept, as text; where it is already, nothing is compiled."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """What the compiler gave.

    Attributes:
      text: the program.
      memory: GB a chip; None for a program read from a file.
      seconds: of the compilation, and of processor time.
    """

    text: str
    memory: float | None = None
    seconds: tuple[float, float] | None = None


def chip_of(topology: str) -> Chip:
    """Raises `UserError` for a kind that is not in the table."""
    kind = topology.partition(":")[0]
    if kind not in CHIPS:
        raise UserError(f"--topology {topology}: not one of {', '.join(CHIPS)}, as in v5e:4x4")
    return CHIPS[kind]


def devices_of(topology: str) -> list[Any]:
    """Chips that are not there. Raises `UserError` without libtpu, or for an unknown topology."""
    sizes = topology.partition(":")[2].split("x")
    count = math.prod(int(size) if size.isdigit() else 0 for size in sizes)
    if not count:
        raise UserError(f"--topology {topology}: not KIND:XxY, as in v5e:4x4")
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(f"--topology {topology}: needs libtpu (pip install -e '.[tpu]')")
    # Without these libtpu asks a cloud's metadata for the machine it is on; the type only has to exist.
    settings = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-1"}
    settings |= {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    os.environ.update(settings, JAX_PLATFORMS="cpu")
    from jax.experimental import topologies

    one = {"chips_per_host_bounds": (1, 1, 1)} if count == 1 else {}
    try:
        return list(topologies.get_topology_desc(topology, platform="tpu", **one).devices)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--topology {topology}: {str(error).splitlines()[0]}") from error


def compile_part(options: Options) -> Compiled:
    """Traces and compiles the step, or the contrastive loss alone."""
    devices = devices_of(options.topology)
    import jax
    from scaling import ShapeSource

    from lhg_jax.config import load_config
    from lhg_jax.train_command import with_overrides
    from lhg_jax.training.compiler import LANES
    from lhg_jax.training.setup import TrainingSetup
    from lhg_jax.training.sharding import batch_sharding

    jax.config.update("jax_exec_time_optimization_effort", options.effort)
    LANES["tpu"] = options.lanes
    size = len(devices) * options.clips_per_device
    own = (f"train.batch_size={size}", f"data.eval_batch_size={len(devices)}")
    config = with_overrides(load_config(options.config), [*own, *options.override])
    source: Any = ShapeSource(config.data.crop_frames, options.words)
    setup = TrainingSetup(config, source, None, devices)
    sharding = batch_sharding(setup.mesh)
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype, sharding=sharding), source[0]
    )
    if options.part == "step":
        lowered = setup.step.lower(setup.abstract_state(), batch, setup.abstract_key())
    else:
        lowered = lowered_loss(setup, batch, sharding)
    start = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start[0], time.process_time() - start[1]
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return Compiled(compiled.as_text(), (held + memory.temp_size_in_bytes) / 1e9, seconds)


def lowered_loss(setup: Any, batch: Any, sharding: Any) -> Any:
    """The contrastive loss of a batch with its gradients, which stay where their clips are."""
    import jax

    from lhg_jax.contract import ListenerOutput
    from lhg_jax.training.objective import losses

    config, space = setup.config, setup.source.space

    def loss(features: tuple[Any, ...], batch: Any) -> Any:
        anchors = batch.features.word_index > 0
        output = ListenerOutput(batch.listener_motion, features[0], features[1:], anchors)
        return losses(output, batch, config.loss, space, setup.negatives)[1].mean()

    shape = (*batch.features.in_clip.shape, config.model.level_size)
    feature = jax.ShapeDtypeStruct(shape, config.model.dtype, sharding=sharding)
    return jax.jit(jax.grad(loss), out_shardings=sharding).lower((feature,) * 4, batch)


def table(program: Program, chip: Chip, clips: int) -> list[str]:
    """The program's costs as Markdown."""
    parts = costs(program)
    whole = total(parts)
    bounds = _bounds(whole, chip)
    lines = ["| of one chip and step | | ms |", "|---|---:|---:|"]
    lines += [f"| {name} | {amount} | {1e3 * seconds:.2f} |" for name, amount, seconds in bounds]
    share = 1 - whole.plain_bytes / max(whole.bytes, 1)
    lines.append(f"| share of the bytes that is padding | {share:.0%} | |")
    lines += ["", "| costliest operations | ms by bytes | GB | ms by the compiler | where from |"]
    lines.append("|---|---:|---:|---:|---|")
    for name in sorted(parts, key=lambda name: -_seconds(parts[name], chip))[:COSTLIEST]:
        lines.append(_row(name, parts[name], chip, program))
    lines += ["", "| collective | devices | times | MB each | ms on the wire |", "|---|---:|---:|---:|---:|"]
    found = collectives(program)
    merged: dict[tuple[str, int], list[tuple[Collective, int]]] = {}
    for collective, times in found.items():
        merged.setdefault((collective.kind, collective.devices), []).append((collective, times))
    for (kind, devices), group in sorted(merged.items()):
        times = sum(count for _, count in group)
        size = sum(one.size * count for one, count in group)
        wire = sum(count * wire_s(one, chip) for one, count in group)
        lines.append(f"| {kind} | {devices} | {times} | {size / times / 1e6:.3f} | {1e3 * wire:.2f} |")
    return [*lines, "", f"Clips/s of a chip at most: {clips / max(s for *_, s in bounds):,.0f}."]


def _bounds(cost: Cost, chip: Chip) -> list[tuple[str, str, float]]:
    """(what, how much, seconds at least)."""
    return [
        ("products", f"{cost.flops / 1e12:.2f} TFLOP", cost.flops / chip.flops),
        ("products, whole matrix units", f"{cost.unit_flops / 1e12:.2f} TFLOP", cost.unit_flops / chip.flops),
        ("bytes, padding included", f"{cost.bytes / 1e9:.1f} GB", cost.bytes / chip.bytes_per_s),
        ("bytes without padding", f"{cost.plain_bytes / 1e9:.1f} GB", cost.plain_bytes / chip.bytes_per_s),
        ("the compiler's estimate", f"{cost.cycles / 1e6:.1f} M cycles", cost.cycles / chip.clock_hz),
    ]


def _seconds(cost: Cost, chip: Chip) -> float:
    return max(cost.bytes / chip.bytes_per_s, cost.flops / chip.flops)


def _row(name: str, cost: Cost, chip: Chip, program: Program) -> str:
    instruction = next(c.instructions[name] for c in program.computations.values() if name in c.instructions)
    where = instruction.attribute("op_name")
    arrays = ", ".join(f"{a.dtype}[{','.join(map(str, a.shape))}]" for a in instruction.arrays[:2])
    times = cost.bytes / chip.bytes_per_s, cost.cycles / chip.clock_hz
    by_bytes, own = (f"{1e3 * seconds:.2f}" for seconds in times)
    return f"| {instruction.opcode} {arrays} | {by_bytes} | {cost.bytes / 1e9:.2f} | {own} | {where} |"


def wire_s(collective: Collective, chip: Chip) -> float:
    """Seconds that a collective's bytes take in a ring over half of a chip's links; no latency."""
    share = (collective.devices - 1) / max(collective.devices, 1)
    passes = {"all-reduce": 2 * share, "reduce-scatter": collective.devices - 1.0, "collective-permute": 1.0}
    return passes.get(collective.kind, share) * collective.size / chip.sent_per_s


def main(options: Options) -> None:
    chip = chip_of(options.topology)
    if options.program and options.program.exists():
        compiled = Compiled(options.program.read_text())
    else:
        compiled = compile_part(options)
        if options.program:
            options.program.parent.mkdir(parents=True, exist_ok=True)
            options.program.write_text(compiled.text)
    print("\n".join(table(parse(compiled.text, options.anchors), chip, options.clips_per_device)))
    if compiled.seconds and compiled.memory:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(
            f"Memory of a chip {compiled.memory:.2f} GB. Compiled in {compiled.seconds[0]:.0f} s, "
            f"{compiled.seconds[1]:.0f} s of processor time, {peak:.1f} GB of memory."
        )


if __name__ == "__main__":
    options = tyro.cli(Options, prog="python tools/tpu_compile.py", description=__doc__)
    run_cli(lambda: main(options))
