"""PyTorch definitions of networks whose official checkpoints are PyTorch files, under the checkpoints' keys.

They serve one purpose: to turn such a checkpoint into an ONNX file (`python -m lhg_exporters`), and to prove
that file against recordings. At run time only `metrics/inception.py` needs one of them: it reads checkpoints.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lhg_jax.util import registry
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Export:
    """A network with its official weights, ready to become an ONNX file.

    Attributes:
      module: torch.nn.Module in evaluation mode.
      example: input name -> tensor, in the order in which `module` takes them.
      outputs: names, in the order in which `module` gives them.
      dynamic: input or output name -> {axis: symbol} for every axis of any size.
      source: whose weights these are, for people.
      licence: of the weights.
      tolerance: largest difference of ONNX from PyTorch that passes, relative to the output's largest value.
      notes: more that is written into the file's metadata, for the stage that runs it.
      loops: name of each loop that the module runs by `loops.fold` -> its step and an example of its input.
    """

    module: Any
    example: Mapping[str, Any]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]]
    source: str
    licence: str
    tolerance: float = 1e-4
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    loops: Mapping[str, tuple[Any, Mapping[str, Any]]] = dataclasses.field(default_factory=dict)


# Name -> "module:function"; the function takes the path of the official checkpoint and gives an `Export`.
EXPORTS: dict[str, str] = {
    "tddfa": "lhg_exporters.faces.mobilenet:export",
    "deep3d": "lhg_exporters.faces.recon_net:export",
    "arcface": "lhg_exporters.faces.iresnet:export",
    "pirenderer": "lhg_exporters.pirenderer.network:export",
    "rvrt": "lhg_exporters.rvrt.export:export",
    "faceshop_mapping": "lhg_exporters.faceshop.stages:mapping",
    "faceshop_planes": "lhg_exporters.faceshop.stages:planes",
    "faceshop_rays": "lhg_exporters.faceshop.stages:rays",
    "faceshop_super_resolution": "lhg_exporters.faceshop.stages:super_resolution",
    "liveportrait_appearance": "lhg_exporters.liveportrait.appearance:export",
    "liveportrait_motion": "lhg_exporters.liveportrait.motion:export",
    "liveportrait_warping": "lhg_exporters.liveportrait.warping:export",
    "liveportrait_generator": "lhg_exporters.liveportrait.generator:export",
    "liveportrait_stitching": "lhg_exporters.liveportrait.retargeting:stitching",
    "liveportrait_eye": "lhg_exporters.liveportrait.retargeting:eye",
    "liveportrait_lip": "lhg_exporters.liveportrait.retargeting:lip",
}


def load_export(name: str, weights: Path, **settings: Any) -> Export:
    """The network `name` with weights from an official file. Raises `UserError` for what does not fit."""
    load = registry.find("stage", name, EXPORTS)
    unknown = settings.keys() - inspect.signature(load).parameters.keys()
    if unknown:
        raise UserError(f"--{min(unknown)}: the stage {name!r} has no such setting")
    return load(weights, **settings)
