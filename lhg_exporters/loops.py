"""Loops over time that stay loops in an ONNX graph; tracing alone would copy a step as often as it runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

DOMAIN = "lhg_jax"  # of the stand-in for a loop between tracing and joining
CARRIED = (-2, -1)  # inputs of a step that it gives back improved, as its outputs after the state


def fold(name: str, step: nn.Module, state: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """`state, *improved = step(state, *inputs at i)` along the leading axis of the inputs.

    Returns all states, and all that was improved (the inputs at `CARRIED`), stacked. While a graph is
    traced, one node named `name` stands for it; what it would give is not computed.
    """
    if torch.onnx.is_in_onnx_export():
        return _Traced.apply(name, step, state, *inputs)
    return _run(step, state, inputs)


def _run(step: nn.Module, state: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    found = []
    for at_i in zip(*inputs, strict=True):
        found.append(step(state, *at_i))
        state = found[-1][0]
    return tuple(torch.stack(x) for x in zip(*found, strict=True))


class _Traced(torch.autograd.Function):
    """The stand-in; a trace does not look into it."""

    @staticmethod
    def forward(ctx: Any, name: str, step: nn.Module, state: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        shapes = [(len(inputs[0]), *state.shape), *(inputs[i].shape for i in CARRIED)]
        return tuple(state.new_zeros(shape) for shape in shapes)

    @staticmethod
    def symbolic(g: Any, name: str, step: nn.Module, state: Any, *inputs: Any) -> Any:
        results = g.op(f"{DOMAIN}::Loop", state, *inputs, name_s=name, outputs=len(CARRIED) + 1)
        states = [inputs[0].type().sizes()[0], *state.type().sizes()]
        for result, kind in zip(
            results, [state.type().with_sizes(states), *(inputs[i].type() for i in CARRIED)], strict=True
        ):
            result.setType(kind)
        return results


def join(path: Path, bodies: Mapping[str, Path]) -> None:
    """Puts the graphs of the steps, traced by themselves, in the place of the stand-ins of a traced graph.

    Args:
      path: the graph with stand-ins; rewritten.
      bodies: name of each loop -> graph of its step.
    """
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        if node.domain == DOMAIN:
            name = node.attribute[0].s.decode()
            node.CopyFrom(_scan(node, onnx.compose.add_prefix(onnx.load(bodies[name]), f"{name}/").graph))
    rest = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(rest)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _scan(node: Any, body: Any) -> Any:
    """The loop itself: a Scan hands its state on by one output and keeps it by another."""
    import onnx

    state = body.output[0]
    kept = onnx.ValueInfoProto()
    kept.CopyFrom(state)
    kept.name = f"{state.name}/kept"
    body.node.append(onnx.helper.make_node("Identity", [state.name], [kept.name]))
    body.output.insert(1, kept)
    return onnx.helper.make_node(
        "Scan",
        node.input,
        [f"{node.output[0]}/last", *node.output],
        name=node.name,
        body=body,
        num_scan_inputs=len(node.input) - 1,
    )
