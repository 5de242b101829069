"""A program that XLA has compiled, read from its text: computations, instructions, arrays, loops.

XLA's own cost analysis counts the body of a loop once and arrays without the padding that they have on TPUs;
here both are kept.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8}
ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
TILE = re.compile(r"T\(([\d,]+)\)")
SPACE = re.compile(r"S\((\d+)\)")
HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.-]+) = ")
NAME = re.compile(r"%([\w.-]+)")
CALLED = re.compile(r"\b(?:calls|to_apply|body|branch_computations)=\{?([^,}]+(?:, %[^,}]+)*)")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array.

    Attributes:
      dtype: XLA's name of it.
      shape: logical.
      order: dimensions from the fastest to the slowest in memory.
      tile: of the fastest dimensions; memory is made of whole tiles. Empty: no padding.
      space: 0 is the chip's main memory; others lie on the chip itself.
    """

    dtype: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    tile: tuple[int, ...]
    space: int

    @property
    def bytes(self) -> int:
        """Without padding."""
        return BYTES.get(self.dtype, 4) * math.prod(self.shape)

    @property
    def padded_bytes(self) -> int:
        """In memory. Single numbers are kept on the chip."""
        if not self.shape:
            return 0
        physical = [self.shape[axis] for axis in reversed(self.order)]
        physical = [1] * (len(self.tile) - len(physical)) + physical
        whole = len(physical) - len(self.tile)
        tiled = (-(-size // tile) * tile for size, tile in zip(physical[whole:], self.tile, strict=True))
        return BYTES.get(self.dtype, 4) * math.prod(physical[:whole]) * math.prod(tiled)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line: `arrays` are its results, `operands` names of other instructions, `rest` all attributes."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    arguments: str
    rest: str
    root: bool

    @property
    def called(self) -> list[str]:
        """Computations that it calls, but for the condition of a loop."""
        return [name.strip(" %") for part in CALLED.findall(self.rest) for name in part.split(",")]

    def attribute(self, name: str) -> str:
        """Value of `name=value`, `name="value"` or `"name":"value"`; empty without one."""
        found = re.search(rf'\b{name}"?[=:](?:"([^"]*)"|(\{{[^}}]*\}}|[^,\s]+))', self.rest)
        return (found[1] or found[2]) if found else ""


@dataclasses.dataclass(frozen=True)
class Computation:
    """Instructions by name, in order."""

    name: str
    instructions: dict[str, Instruction]

    @functools.cached_property
    def root(self) -> Instruction:
        """What it returns."""
        return next(instruction for instruction in self.instructions.values() if instruction.root)

    @functools.cached_property
    def parameters(self) -> list[Instruction]:
        """In order of their numbers."""
        found = [one for one in self.instructions.values() if one.opcode == "parameter"]
        return sorted(found, key=lambda one: int(one.arguments))

    def users(self, name: str) -> list[Instruction]:
        """Instructions that read `name`."""
        return self._users.get(name, [])

    @functools.cached_property
    def _users(self) -> dict[str, list[Instruction]]:
        users: dict[str, list[Instruction]] = {}
        for instruction in self.instructions.values():
            for operand in dict.fromkeys(instruction.operands):
                users.setdefault(operand, []).append(instruction)
        return users

    def behind(self, name: str) -> Instruction:
        """The instruction whose value `name` is, through copies and other names of it."""
        instruction = self.instructions[name]
        while instruction.opcode in ("copy", "bitcast", "copy-done", "copy-start", "convert"):
            instruction = self.instructions[instruction.operands[0]]
        return instruction


@dataclasses.dataclass(frozen=True)
class Program:
    """All computations, and the name of the first.

    Attributes:
      computations: by name.
      entry: name of the one that is run.
      share: how much of its turns a loop takes that may end before.
    """

    computations: dict[str, Computation]
    entry: str
    share: float = 1.0

    def executed(self) -> Iterator[tuple[Computation, Instruction, int]]:
        """Instructions of all computations but fusions' inner ones, with how often each runs."""
        yield from self._executed(self.entry, 1)

    def _executed(self, name: str, times: int) -> Iterator[tuple[Computation, Instruction, int]]:
        computation = self.computations[name]
        for instruction in computation.instructions.values():
            if instruction.opcode == "while":
                trips = self.trips(computation, instruction)
                yield from self._executed(instruction.called[0], times * trips) if trips else ()
            elif instruction.opcode in ("call", "async-start"):
                for called in instruction.called:
                    yield from self._executed(called, times)
            else:
                yield computation, instruction, times

    def trips(self, computation: Computation, loop: Instruction) -> int:
        """How often a loop runs that counts from a constant to another; `share` of it, if it may end before.

        0 for one that a flag starts (losses/bounded.py's, which does what training never needs); raises
        ValueError for any other.
        """
        if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.rest):
            return int(known[1])
        condition = self.computations[loop.attribute("condition").strip("%")]
        counts, problem = [], None
        for sides in self._comparisons(condition, condition.root):
            try:
                first, last = (self._start(computation, loop, side) for side in sides)
                counts.append(abs(last - first))
            except ValueError as error:
                problem = error
        if problem and not counts:
            raise problem
        return math.ceil(min(counts, default=0) * (self.share if problem else 1))

    def _comparisons(
        self, within: Computation, test: Instruction, given: list[Instruction] | None = None
    ) -> Iterator[tuple[Instruction, Instruction]]:
        """Sides of each comparison that has to hold; `given` is what parameters of a fusion stand for."""

        def source(name: str) -> Instruction:
            found = within.behind(name)
            return given[int(found.arguments)] if given and found.opcode == "parameter" else found

        if test.opcode == "fusion":
            inner = self.computations[test.called[0]]
            yield from self._comparisons(inner, inner.root, [source(name) for name in test.operands])
        elif test.opcode == "and":
            for name in test.operands:
                yield from self._comparisons(within, within.behind(name), given)
        elif test.opcode == "compare":
            if test.attribute("direction") not in ("LT", "GT"):
                raise ValueError(f"{test.name}: not that of a counted loop")
            left, right = test.operands
            yield source(left), source(right)

    def _start(self, computation: Computation, loop: Instruction, side: Instruction) -> int:
        """A constant of the condition, or what an entry of the loop's values is before its first turn."""
        if side.opcode == "get-tuple-element":
            values = computation.behind(loop.operands[0])
            while values.opcode == "parameter" and computation.name in self._callers:
                computation, call = self._callers[computation.name]
                values = computation.behind(call.operands[int(values.arguments)])
            if values.opcode == "tuple":
                side = computation.behind(values.operands[int(side.attribute("index"))])
        if side.opcode != "constant":
            raise ValueError(f"{loop.name}: counts from or to something that is computed")
        return int(side.arguments)

    @functools.cached_property
    def _callers(self) -> dict[str, tuple[Computation, Instruction]]:
        """Who calls a computation: XLA puts small loops of CPUs into one of their own."""
        return {
            name: (computation, instruction)
            for computation in self.computations.values()
            for instruction in computation.instructions.values()
            if instruction.opcode == "call"
            for name in instruction.called
        }


def parse(text: str, share: float = 1.0) -> Program:
    """Reads the text of an optimised HLO module; `share` is `Program`'s."""
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if found := HEADER.match(line):
            current = computations[found[2]] = Computation(found[2], {})
            entry = found[2] if found[1] else entry
        elif current is not None and (instruction := _parse_line(line)):
            current.instructions[instruction.name] = instruction
        elif line.startswith("}"):
            current = None
    return Program(computations, entry, share)


def _parse_line(line: str) -> Instruction | None:
    found = INSTRUCTION.match(line)
    if not found:
        return None
    shapes, after = _split_shapes(line[found.end() :])
    opcode, _, after = after.partition("(")
    end = _closing("(" + after)
    arguments, rest = after[: end - 1], after[end:]
    arrays = tuple(_array(match) for match in ARRAY.finditer(shapes))
    operands = tuple(NAME.findall(arguments))
    return Instruction(found[2], opcode.strip(), arrays, operands, arguments, rest, bool(found[1]))


def _split_shapes(text: str) -> tuple[str, str]:
    end = _closing(text) + 1 if text.startswith("(") else text.index(" ")
    return text[:end], text[end:]


def _closing(text: str) -> int:
    """Index of the bracket that closes the first one."""
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return index
    raise ValueError(f"no closing bracket: {text[:80]}")


def _array(found: re.Match[str]) -> Array:
    shape = _numbers(found[2])
    layout = found[4] or ""
    tile, space = TILE.search(layout), SPACE.search(layout)
    order = _numbers(found[3]) or tuple(reversed(range(len(shape))))
    return Array(found[1], shape, order, _numbers(tile[1]) if tile else (), int(space[1]) if space else 0)


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in (text or "").split(",") if number)
