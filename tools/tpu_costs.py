"""What a compiled TPU program costs: bytes of the main memory, products of the matrix units, collectives.

Bytes are those of whole tiles. Products are counted twice: those that the network asks for, and those that
matrix units of 128 x 128 make of them, whose unused rows and columns take as long as used ones.
"""

import collections
import dataclasses
import math
import re

from xla_program import COLLECTIVES, Array, Computation, Instruction, Program

LANES = 128  # rows and columns of a matrix unit
FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "opt-barrier",
    "partition-id", "replica-id", "iota",
}  # fmt: skip


@dataclasses.dataclass
class Cost:
    """Of some instructions, all their turns together.

    Attributes:
      flops: 2 a multiply-add.
      unit_flops: of whole matrix units.
      bytes: read from and written to the main memory, whole tiles.
      plain_bytes: the same without padding.
      cycles: that the compiler expects (its own model of the chip).
    """

    flops: float = 0
    unit_flops: float = 0
    bytes: float = 0
    plain_bytes: float = 0
    cycles: float = 0

    def add(self, other: "Cost", times: int) -> None:
        """Adds `times` the other."""
        for field in dataclasses.fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + times * getattr(other, name))


@dataclasses.dataclass(frozen=True)
class Collective:
    """One kind of collective in one form: `size` bytes of its results, among `devices` devices."""

    kind: str
    size: int
    devices: int


def costs(program: Program) -> dict[str, Cost]:
    """Cost of each instruction that runs, by name; together they are the program's."""
    found: dict[str, Cost] = collections.defaultdict(Cost)
    for computation, instruction, times in program.executed():
        if instruction.opcode not in FREE and not instruction.opcode.endswith("-done"):
            found[instruction.name].add(instruction_cost(program, computation, instruction), times)
    return dict(found)


def total(parts: dict[str, Cost]) -> Cost:
    """All together."""
    result = Cost()
    for part in parts.values():
        result.add(part, 1)
    return result


def collectives(program: Program) -> dict[Collective, int]:
    """How often each collective runs."""
    count: dict[Collective, int] = collections.Counter()
    for _, instruction, times in program.executed():
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            arrays = instruction.arrays
            if instruction.opcode.endswith("-start") and kind != "all-reduce":
                arrays = arrays[1:2]  # operand, result, contexts
            size = sum(array.bytes for array in arrays)
            count[Collective(kind, size, _group_size(instruction))] += times
    return dict(count)


def _group_size(instruction: Instruction) -> int:
    """Devices that take part together; 0 where the text does not say."""
    text = instruction.rest
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", text):
        return found[1].count(",") + 1
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", text):
        return int(found[1])
    if found := re.search(r"replica_groups=mesh\[([^\]]+)\]\s*\{([^}]*)\}", text):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", found[2]))
    return 0


def instruction_cost(program: Program, computation: Computation, instruction: Instruction) -> Cost:
    """Of one turn."""
    cost = Cost(cycles=float(instruction.attribute("estimated_cycles") or 0))
    for array in _moved(program, computation, instruction):
        if array.space == 0:
            cost.bytes += array.padded_bytes
            cost.plain_bytes += array.bytes
    _add_products(program, computation, instruction, cost)
    return cost


def _moved(program: Program, computation: Computation, instruction: Instruction) -> list[Array]:
    """Arrays that are read or written."""
    opcode = instruction.opcode
    operands = [computation.instructions[name] for name in instruction.operands]
    if opcode == "fusion":
        return _moved_by_fusion(program, instruction, operands)
    if opcode in ("dynamic-slice", "slice", "gather"):
        return [*instruction.arrays, *instruction.arrays]
    if opcode == "dynamic-update-slice":
        return [*operands[1].arrays, *operands[1].arrays]
    if opcode in ("copy-start", "slice-start", "all-gather-start", "collective-permute-start"):
        return list(instruction.arrays[:2])
    if opcode == "custom-call" and "AllocateBuffer" in instruction.rest:
        return []
    return [array for operand in operands for array in operand.arrays] + list(instruction.arrays)


def _moved_by_fusion(program: Program, fusion: Instruction, operands: list[Instruction]) -> list[Array]:
    """Of a fusion: of an operand the parts that are read, of a result written in place the new part."""
    inner = program.computations[fusion.called[0]]
    moved: list[Array] = []
    for parameter, operand in zip(inner.parameters, operands, strict=True):
        moved += [
            dataclasses.replace(array, space=operand.arrays[0].space) if operand.arrays else array
            for array in _read(program, inner, parameter)
        ]
    root = inner.root
    if root.opcode != "tuple" and len(fusion.arrays) > 1:  # e.g. a reduction to a value and its place
        return [*moved, *fusion.arrays]
    results = [inner.instructions[name] for name in root.operands] if root.opcode == "tuple" else [root]
    for result, array in zip(results, fusion.arrays, strict=True):
        source = inner.behind(result.name)
        written = inner.instructions[source.operands[1]] if source.opcode == "dynamic-update-slice" else None
        moved.append(dataclasses.replace(written.arrays[0], space=array.space) if written else array)
    return moved


def _read(program: Program, inner: Computation, value: Instruction) -> list[Array]:
    """What is read of a fusion's parameter (or of another name of it): all, or the slices that are taken."""
    parts: list[Array] = list(value.arrays) if value.root else []
    for user in inner.users(value.name):
        if user.opcode in ("dynamic-slice", "slice") and user.operands[0] == value.name:
            parts += user.arrays
        elif user.opcode == "dynamic-update-slice" and user.operands[0] == value.name:
            continue
        elif user.opcode == "bitcast":
            parts += _read(program, inner, user)
        elif user.opcode == "fusion":
            called = program.computations[user.called[0]]
            for number, name in enumerate(user.operands):
                if name != value.name:
                    continue
                parameter = called.parameters[number]
                renamed = called.behind(called.root.name) is parameter
                parts += _read(program, *((inner, user) if renamed else (called, parameter)))
        else:
            return list(value.arrays)
    whole = sum(array.padded_bytes for array in value.arrays)
    return parts if sum(array.padded_bytes for array in parts) < whole else list(value.arrays)


def _add_products(program: Program, computation: Computation, instruction: Instruction, cost: Cost) -> None:
    """Adds the products of a convolution (as which matrix products appear, too), or of those in a fusion."""
    if instruction.opcode == "fusion":
        inner = program.computations[instruction.called[0]]
        for one in inner.instructions.values():
            _add_products(program, inner, one, cost)
    if instruction.opcode not in ("convolution", "dot"):
        return
    flops, unit_flops = _products(computation, instruction)
    cost.flops += flops
    cost.unit_flops += unit_flops


def _products(computation: Computation, instruction: Instruction) -> tuple[float, float]:
    """FLOPs, and those of whole matrix units: what is summed over and output features in multiples of 128.

    A convolution sums over the features of one tap at a time; where its taps are more than its outputs it is
    a kernel's gradient, which sums over batch and places together.
    """
    outputs = instruction.arrays[0].shape
    left, right = (computation.instructions[name].arrays[0].shape for name in instruction.operands[:2])
    if instruction.opcode == "dot":
        axes = [int(n) for n in re.findall(r"\d+", instruction.attribute("lhs_contracting_dims"))]
        contracted, features, taps = math.prod(left[axis] for axis in axes), outputs[-1], 1.0
    else:
        inputs, kernel, result = re.split("_|->", instruction.attribute("dim_labels"))
        contracted, features = right[kernel.index("i")], outputs[result.index("f")]
        taps = _taps(instruction, [left[inputs.index(n)] for n in inputs if n.isdigit()],
                     [outputs[result.index(n)] for n in inputs if n.isdigit()])  # fmt: skip
    rows = math.prod(outputs) / features
    if taps > rows / outputs[0]:
        contracted, taps = contracted * taps, 1.0
    whole = math.ceil(contracted / LANES) * LANES * math.ceil(features / LANES) * LANES
    return 2 * rows * taps * contracted * features, 2 * rows * taps * whole


def _taps(instruction: Instruction, inputs: list[int], outputs: list[int]) -> float:
    """Taps of the window that meet the input and no hole of it, mean over output positions."""
    window = re.search(r"window=\{([^}]*)\}", instruction.rest)
    if not window:
        return 1.0
    fields = dict(part.split("=") for part in window[1].split() if "=" in part)
    sizes = [int(n) for n in fields["size"].split("x")]
    count = 1.0
    for axis, size in enumerate(sizes):

        def of(name: str, default: str, axis: int = axis) -> str:
            return fields[name].split("x")[axis] if name in fields else default

        stride, spread, dilation = (int(of(name, "1")) for name in ("stride", "lhs_dilate", "rhs_dilate"))
        before = int(of("pad", "0_0").split("_")[0])
        count *= _meetings(inputs[axis], outputs[axis], size, stride, spread, dilation, before)
    return count


def _meetings(
    inputs: int, outputs: int, taps: int, stride: int, spread: int, dilation: int, before: int
) -> float:
    """Along one axis: mean number of taps on real inputs."""
    met = 0
    for tap in range(taps):
        offset = tap * dilation - before
        met += sum(
            0 <= place <= spread * (inputs - 1) and place % spread == 0
            for place in range(offset, offset + stride * outputs, stride)
        )
    return met / outputs
