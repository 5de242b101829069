"""PIRenderer's generator as a PyTorch module, its state dict keyed as the official checkpoint.

Ren et al., *PIRenderer: Controllable Portrait Image Generation via Semantic Neural Rendering*, ICCV 2021
(arXiv 2109.08379). Three networks: `mapping_net` turns 27 frames of coefficients into a style z;
`warpping_net` (spelled as released) predicts a flow that warps the portrait; `editing_net` repaints what was
warped. B images, C channels, H x W pixels, T = 27 frames, D = 256 entries of z.
"""

import os

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters import Export
from lhg_exporters.checkpoints import load_strict, read_state
from lhg_exporters.pirenderer.editing import Editing
from lhg_exporters.pirenderer.norms import SLOPE, STYLE
from lhg_exporters.pirenderer.warping import Warping

COEFFICIENTS, WINDOW = 73, 27
SIZE = 256  # pixels a side that the weights are for


class Mapping(nn.Module):
    """z from a window of coefficients: [B, 73, 27] to [B, 256]."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(COEFFICIENTS, STYLE, 7))
        for i in range(3):
            conv = nn.Conv1d(STYLE, STYLE, 3, dilation=3)
            self.add_module(f"encoder{i}", nn.Sequential(nn.LeakyReLU(SLOPE), conv))

    def forward(self, window_BCT: Tensor) -> Tensor:
        """Nothing is padded: lengths go 27, 21, 15, 9, 3, then the mean."""
        x_BDT = self.first(window_BCT)
        for i in range(3):
            x_BDT = self.get_submodule(f"encoder{i}")(x_BDT) + x_BDT[:, :, 3:-3]
        return x_BDT.mean(dim=2)


class PIRenderer(nn.Module):
    """The generator: one portrait and one window of coefficients for each output frame."""

    def __init__(self):
        super().__init__()
        self.mapping_net, self.warpping_net, self.editing_net = Mapping(), Warping(), Editing()

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        window: Float[Tensor, "batch 73 27"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Renders frames.

        Args:
          image: portraits, RGB in [-1, 1]; sides divisible by 32 (the weights are for 256).
          window: coefficients as tracked, in the order expression, angle, translation, crop; entry 13 is now.

        Returns:
          fake [B, 3, H, W] in (-1, 1), the result; warp [B, 3, H, W], the portrait warped; flow
          [B, 2, H / 4, W / 4], x and y in pixels of its own grid.
        """
        z_BD = self.mapping_net(window)
        warp_BCHW, flow_B2HW = self.warpping_net(image, z_BD)
        return self.editing_net(image, warp_BCHW, z_BD), warp_BCHW, flow_B2HW


def export(path: str | os.PathLike) -> Export:
    """The generator of a released checkpoint: its moving average, or a bare state dict.

    Raises `UserError` for other files.
    """
    module = PIRenderer()
    load_strict(module, read_state(path, "net_G_ema"), path)
    names = ("image", "window", "fake", "warp", "flow")
    return Export(
        module=module,
        example={"image": torch.rand(2, 3, SIZE, SIZE), "window": torch.randn(2, COEFFICIENTS, WINDOW)},
        outputs=("fake", "warp", "flow"),
        dynamic={name: {0: "batch"} for name in names},
        source="PIRenderer (Ren et al., ICCV 2021), github.com/RenYurui/PIRender",
        licence="CC BY-NC 4.0 (not for commercial use)",
        tolerance=1e-3,  # of the warp: flow of a hundred pixels magnifies the rounding of positions
    )
