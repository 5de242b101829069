"""RVRT for export: a released checkpoint of any of the six tasks, and the tiles its network will take."""

import os

import torch
from torch import Tensor

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.rvrt.deformable_attention import CLIP
from lhg_exporters.rvrt.network import BRANCHES, RVRT, SCALE, RVRTConfig, Step
from lhg_jax.util.errors import UserError

TILE_FRAMES, TILE_SIDE = 16, 64  # unless asked otherwise; the side is the features'
DENOISING = 4  # channels of what such a network takes: RGB and sigma
SMALLEST_SIDE = 9  # of the features: a window and a pixel, so that shifted windows have where to shift


def steps(net: RVRT, rows: int, columns: int) -> dict[str, tuple[Step, dict[str, Tensor]]]:
    """The step of each branch, and an example of what it takes, for features of that size."""
    width = net.config.width

    def clip(channels: int) -> Tensor:
        return torch.rand(1, CLIP, channels, rows, columns)

    return {
        name: (
            Step(net.deform_align[name], net.backbone[name]).eval(),
            {
                "state": clip(width),
                "seen": clip((1 + i) * width),
                "query": clip(width),
                "key": clip(width),
                "same": clip(2),
                "other": clip(2),
            },
        )
        for i, name in enumerate(BRANCHES)
    }


def export(
    path: str | os.PathLike, tile: tuple[int, int, int] | None = None, sigma: float | None = None
) -> Export:
    """The network of a released checkpoint, of any of the six tasks.

    Args:
      path: of the checkpoint.
      tile: frames, rows and columns that it will take.
      sigma: of the noise, of 255, for a network that denoises; None is `restore.rvrt.SIGMA`.

    Raises:
      UserError: another file, tiles that the network cannot take, or a sigma that means nothing to it.
    """
    state = read_state(path, "params")
    try:
        config = RVRTConfig.from_state(state)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise UserError(f"{path}: not weights of RVRT (no {error})") from error
    module = RVRT(config)
    load_strict(module, state, path)
    side = TILE_SIDE if config.enlarges else SCALE * TILE_SIDE
    frames, rows, columns = tile or (TILE_FRAMES, side, side)
    unit = 1 if config.enlarges else SCALE
    if frames < 4 or frames % 2 or rows % unit or columns % unit or min(rows, columns) < SMALLEST_SIDE * unit:
        raise UserError(
            f"--tile {frames} {rows} {columns}: frames must be even and at least 4, rows and columns "
            f"multiples of {unit} and at least {SMALLEST_SIDE * unit}"
        )
    if sigma is not None and (config.inputs != DENOISING or not 0 < sigma < 255):
        raise UserError(f"--sigma {sigma:g}: of a denoising network, between 0 and 255")
    return Export(
        module=module.requires_grad_(False),
        example={"video": torch.rand(1, frames, config.inputs, rows, columns)},
        outputs=("restored",),
        dynamic={},
        source="RVRT (Liang et al., NeurIPS 2022), github.com/JingyunLiang/RVRT",
        licence="CC BY-NC 4.0 (not for commercial use)",
        notes={} if sigma is None else {"sigma": f"{sigma:g}"},
        loops=steps(module, rows // unit, columns // unit),
    )
