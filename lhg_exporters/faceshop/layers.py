"""Layers that 3DFaceShop shares with StyleGAN2: equalised linear maps and style-modulated convolutions.

Karras et al., *Analyzing and Improving the Image Quality of StyleGAN* (CVPR 2020). A convolution whose weight
is scaled per input channel by a style s and normalised per output channel is computed here as: scale the
input by s, convolve with the weight as it is, scale the output by 1 / |W s|. That is the same sum, needs no
convolution per sample, and leaves the weight a constant of the exported graph.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own abbreviation)
from jaxtyping import Float
from torch import Tensor, nn

STYLE = 512  # size of w
_SLOPE = 0.2  # of every leaky ReLU
_NORM_EPSILON = 1e-8


class EqualLinear(nn.Module):
    """A linear map whose stored weights have unit variance: y = x (g W)^T + r b with g = r / sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.rate, self.gain = rate, rate / math.sqrt(inputs)

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Applies the map to the last axis."""
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


def normalise(x: Float[Tensor, "batch size"]) -> Float[Tensor, "batch size"]:
    """Scales each row to unit second moment."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + _NORM_EPSILON)


def activate(x: Tensor, gain: float = 1.0) -> Tensor:
    """Leaky ReLU that keeps the variance (times sqrt 2), times `gain`."""
    return F.leaky_relu(x, _SLOPE) * (math.sqrt(2.0) * gain)


def enlarge(
    x: Float[Tensor, "batch channels height width"], taps: Float[Tensor, "4 4"]
) -> Float[Tensor, "batch channels height2 width2"]:
    """Doubles an image: zeros between the samples, then the filter `taps` (sum 1) at gain 4."""
    channels = x.shape[1]
    kernel = (4.0 * taps).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


def smooth(
    x: Float[Tensor, "batch channels height width"], taps: Float[Tensor, "4 4"]
) -> Float[Tensor, "batch channels height1 width1"]:
    """The filter `taps` at gain 4 over an image padded by one: what follows a convolution of stride 1/2."""
    channels = x.shape[1]
    return F.conv2d(x, (4.0 * taps).expand(channels, 1, 4, 4), padding=1, groups=channels)


class SynthesisLayer(nn.Module):
    """A modulated and demodulated 3 x 3 convolution, constant noise, bias, leaky ReLU."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.empty([]))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.register_buffer("resample_filter", torch.empty(4, 4))
        self.register_buffer("noise_const", torch.empty(size, size))
        self.affine = EqualLinear(STYLE, inputs)

    def forward(
        self, x: Float[Tensor, "batch inputs height width"], w: Float[Tensor, "batch 512"], gain: float = 1.0
    ) -> Float[Tensor, "batch outputs size size"]:
        """`x` in the style `w`; `gain` multiplies the result."""
        style = self.affine(w)
        x = self.convolve(x * style[:, :, None, None])
        x = x * self._demodulation(style)[:, :, None, None]
        x = x + self.noise_const * self.noise_strength + self.bias[:, None, None]
        return activate(x, gain)

    def convolve(
        self, x: Float[Tensor, "batch inputs size size"]
    ) -> Float[Tensor, "batch outputs size size"]:
        """The convolution alone."""
        return F.conv2d(x, self.weight, padding=1)

    def _demodulation(self, style: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        power = style.square() @ self.weight.square().sum(dim=(2, 3)).T
        return torch.rsqrt(power + _NORM_EPSILON)


class UpsamplingLayer(SynthesisLayer):
    """A synthesis layer that doubles the size: transposed convolution of stride 2, then a low-pass filter."""

    def convolve(
        self, x: Float[Tensor, "batch inputs half half"]
    ) -> Float[Tensor, "batch outputs size size"]:
        """The convolution with its doubling and filter."""
        x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
        return smooth(x, self.resample_filter)


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution to image channels, without demodulation or activation."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.affine = EqualLinear(STYLE, inputs)

    def forward(
        self, x: Float[Tensor, "batch inputs size size"], w: Float[Tensor, "batch 512"]
    ) -> Float[Tensor, "batch outputs size size"]:
        """`x` in the style `w`, as channels of an image."""
        style = self.affine(w) / math.sqrt(x.shape[1])
        return F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
