"""3DFaceShop's mapping network: a latent and a conditioning pose to the styles w of the synthesis network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lhg_exporters.faceshop.layers import STYLE, EqualLinear, activate, normalise

LATENT = 379
_LAYERS = 8
_RATE = 0.01  # learning-rate multiplier: stored weights are 100 times those that act


class Mapping(nn.Module):
    """Eight linear layers over the normalised latent and the embedded pose."""

    w_avg: Tensor

    def __init__(self, rows: int):
        super().__init__()
        self.rows = rows
        self.register_buffer("w_avg", torch.empty(STYLE))
        self.embed = EqualLinear(2, STYLE)
        for i in range(_LAYERS):
            inputs = STYLE if i else LATENT + STYLE
            self.add_module(f"fc{i}", EqualLinear(inputs, STYLE, _RATE))

    def forward(
        self,
        latent: Float[Tensor, "batch 379"],
        pose: Float[Tensor, "batch 2"],
        truncation: Float[Tensor, ""],
    ) -> Float[Tensor, "batch rows 512"]:
        """Styles, one row a layer (all rows equal).

        Args:
          latent: z, identity, texture, expression, light, each over its scale (render/faceshop/latent.py).
          pose: pitch and yaw that condition the face, radians; front is (pi/2, pi/2).
          truncation: psi in [0, 1]; below 1 styles are pulled to the average face.
        """
        x = torch.cat([normalise(latent), normalise(self.embed(pose))], dim=1)
        for i in range(_LAYERS):
            x = activate(self.get_submodule(f"fc{i}")(x))
        w = self.w_avg + truncation * (x - self.w_avg)
        return w[:, None].expand(-1, self.rows, -1)
