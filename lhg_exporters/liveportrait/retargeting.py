"""LivePortrait's three small networks that correct keypoints: stitching, eyes and lips.

Guo et al., arXiv 2407.03168, section 3.3. They stand in one official file under names of their own.
"""

import itertools
import os

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_checkpoint
from lhg_exporters.liveportrait import LICENCE, SOURCE
from lhg_jax.util.errors import UserError

STITCHING, EYE, LIP = (126, 128, 128, 64, 65), (66, 256, 256, 128, 128, 64, 63), (65, 128, 128, 64, 63)


class Retargeting(nn.Module):
    """Dense layers with ReLUs between them; `widths` from the input to the output."""

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, feature: Float[Tensor, "batch width_in"]) -> Float[Tensor, "batch width_out"]:
        """Keypoints and what is asked of them -> by how much the keypoints move."""
        return self.mlp(feature)


def stitching(path: str | os.PathLike) -> Export:
    """S of `stitching_retargeting_module.pth`. Raises `UserError` for other files."""
    return _export(path, "retarget_shoulder", STITCHING)


def eye(path: str | os.PathLike) -> Export:
    """R_eye of the same file."""
    return _export(path, "retarget_eye", EYE)


def lip(path: str | os.PathLike) -> Export:
    """R_lip of the same file."""
    return _export(path, "retarget_mouth", LIP)


def _export(path: str | os.PathLike, name: str, widths: tuple[int, ...]) -> Export:
    module = Retargeting(widths)
    load_strict(module, read_part(path, name), path)
    return Export(
        module=module,
        example={"feature": torch.randn(3, widths[0], generator=torch.Generator().manual_seed(0))},
        outputs=("delta",),
        dynamic={name: {0: "batch"} for name in ("feature", "delta")},
        source=SOURCE,
        licence=LICENCE,
    )


def read_part(path: str | os.PathLike, name: str) -> dict[str, Tensor]:
    """One network's tensors: nested under `name` (official), or flat as `NAME_module.mlp...` (safetensors).

    Raises `UserError` where the file has no such network.
    """
    found = read_checkpoint(path)
    nested = found.get(name) if isinstance(found, dict) else None
    if isinstance(nested, dict):
        return {key.removeprefix("module."): value for key, value in nested.items()}
    prefix = f"{name}_module."
    flat = {key.removeprefix(prefix): x for key, x in found.items() if key.startswith(prefix)}
    if not flat:
        raise UserError(f"{path}: holds no network {name!r} (stitching_retargeting_module.pth has it)")
    return flat
