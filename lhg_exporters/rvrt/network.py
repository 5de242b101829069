"""RVRT as a PyTorch module, its state dict keyed as the official checkpoints of all six tasks.

Liang et al., *Recurrent Video Restoration Transformer with Guided Deformable Attention*, NeurIPS 2022
(arXiv 2206.02146). Features at a quarter of the output's resolution pass four times through the video, two
frames (a clip) at a time. B videos, T frames, C channels, H x W pixels.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lhg_exporters.loops import fold
from lhg_exporters.rvrt.deformable_attention import (
    CLIP,
    SLOPE,
    FrameConv,
    GuidedDeformableAttention,
    warp_clip,
)
from lhg_exporters.rvrt.flow_warp import sizes
from lhg_exporters.rvrt.spynet import SpyNet
from lhg_exporters.rvrt.video_swin import Refinement

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")  # in the order in which they run
SCALE = 4  # of the output to the features
UPSAMPLER_WIDTH = 64


@dataclasses.dataclass(frozen=True)
class RVRTConfig:
    """What differs between the released tasks.

    Attributes:
      width: channels of the features (144 for super-resolution, 192 else).
      enlarges: whether the output is four times the input (super-resolution) or of its size.
      inputs: channels of a frame: RGB, and for denoising the noise's sigma.
      groups: of the input convolutions of shallow features, the four branches, reconstruction.
    """

    width: int
    enlarges: bool
    inputs: int
    groups: tuple[int, ...]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "RVRTConfig":
        """Reads it off the shapes of a state dict. Raises KeyError where a tensor is missing."""
        width = state["conv_before_upsampler.0.weight"].shape[1]
        enlarges = "feat_extract.main.1.weight" in state
        inputs = state["feat_extract.main.1.weight" if enlarges else "feat_extract.1.weight"].shape[1]
        shallow = "feat_extract" if enlarges else "feat_extract.6"
        widths = {shallow: inputs if enlarges else width}
        widths |= {f"backbone.{name}": (2 + i) * width for i, name in enumerate(BRANCHES)}
        widths["reconstruction"] = 5 * width
        groups = (widths[name] // state[f"{name}.main.1.weight"].shape[1] for name in widths)
        return cls(width, enlarges, inputs, tuple(groups))


class Step(nn.Module):
    """One clip of a branch: the state of the clip before is aligned with this one, then refined."""

    def __init__(self, align: nn.Module, refine: nn.Module):
        super().__init__()
        self.align, self.refine = align, refine

    def forward(
        self, state: Tensor, seen: Tensor, query: Tensor, key: Tensor, same: Tensor, other: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The new state, and the flows as the alignment has improved them.

        Args:
          state: of the clip before, [B, 2, C, h, w].
          seen: what all earlier branches say of this clip, channels one after the other.
          query, key: of this clip and the one before, from the branch just before this one.
          same, other: flows to the clip before; `GuidedDeformableAttention` says which.
        """
        state, same, other = self.align(query, key, state, same, other)
        return refined(self.refine, seen, state), same, other


def refined(refine: nn.Module, seen_BTCHW: Tensor, state_BTCHW: Tensor) -> Tensor:
    """The state, corrected by what all branches say of this clip."""
    return state_BTCHW + refine(torch.cat([seen_BTCHW, state_BTCHW], dim=2))


class RVRT(nn.Module):
    """Restores an even number of frames."""

    def __init__(self, config: RVRTConfig):
        super().__init__()
        self.config = config
        C, groups = config.width, config.groups
        self.spynet = SpyNet()
        if config.enlarges:
            self.feat_extract: Refinement | nn.ModuleDict = Refinement(
                config.inputs, C, groups[0], count=1, depth=1
            )
        else:
            self.feat_extract = nn.ModuleDict(
                {
                    "1": FrameConv(config.inputs, C, 3, stride=2),
                    "3": FrameConv(C, C, 3, stride=2),
                    "6": Refinement(C, C, groups[0], count=1, depth=1),
                }
            )
        self.backbone = nn.ModuleDict(
            {
                name: Refinement((2 + i) * C, C, groups[1 + i], count=2, depth=CLIP)
                for i, name in enumerate(BRANCHES)
            }
        )
        self.deform_align = nn.ModuleDict({name: GuidedDeformableAttention(C) for name in BRANCHES})
        self.reconstruction = Refinement(5 * C, C, groups[5], count=1, depth=1)
        width = UPSAMPLER_WIDTH
        self.conv_before_upsampler = nn.Sequential(FrameConv(C, width, 1), nn.LeakyReLU(SLOPE))
        self.upsampler = nn.ModuleDict(
            {
                "0": FrameConv(width, 4 * width, 3),
                "5": FrameConv(width, 4 * width, 3),
                "10": FrameConv(width, width, 3),
            }
        )
        self.conv_last = FrameConv(width, 3, 3)

    def forward(
        self, video: Float[Tensor, "batch frame channel height width"]
    ) -> Float[Tensor, "batch frame 3 rows columns"]:
        """Restores a video.

        Args:
          video: RGB in [0, 1]; for denoising, sigma / 255 as a fourth channel. T even; unless the task
            enlarges, H and W are multiples of 4. Features need at least 9 pixels a side.

        Returns:
          RGB, not clamped, four times the size where the task enlarges.
        """
        rgb = video[:, :, :3]
        low = rgb if self.config.enlarges else quarter(rgb)
        to_next, to_previous = self.flows(low)
        features = {"shallow": self.shallow(video)}
        alignments: dict[str, Sequence[Tensor]] = {
            "backward": first_alignments(to_next.flip(1)),
            "forward": first_alignments(to_previous),
        }
        for name in BRANCHES:
            direction = name.partition("_")[0]
            features[name], alignments[direction] = self.propagate(name, features, alignments[direction])
        return self.reconstruct(features) + (enlarged(rgb) if self.config.enlarges else rgb)

    def flows(self, low_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Flows on frames 0..T-2 that fetch the next frame, and on frames 1..T-1 that fetch the previous.

        The reference takes one for the other, reversed, in a video equal to its mirror image in time, and
        keeps doing so on the next video. They are equal there; computing both decides nothing.
        """
        B, T, *_ = sizes(low_BTCHW)
        earlier, later = low_BTCHW[:, :-1].flatten(0, 1), low_BTCHW[:, 1:].flatten(0, 1)
        flow = self.spynet(torch.cat([earlier, later]), torch.cat([later, earlier]))
        to_next, to_previous = flow.reshape(2, B, T - 1, *sizes(flow)[1:])
        return to_next, to_previous

    def shallow(self, video_BTCHW: Tensor) -> Tensor:
        """[B, T, C, h, w]."""
        if isinstance(self.feat_extract, Refinement):
            return self.feat_extract(video_BTCHW)
        for name in ("1", "3"):
            video_BTCHW = functional.leaky_relu(self.feat_extract[name](video_BTCHW), SLOPE)
        return self.feat_extract["6"](video_BTCHW)

    def propagate(
        self, name: str, features: dict[str, Tensor], alignment: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """One branch through the video.

        Args:
          name: of the branch.
          features: of all earlier branches, [B, T, C, h, w] in the order of time.
          alignment: flows of each clip but the first to the clip before, [clips - 1, B, 2, 2, h, w], in
            the order in which this branch goes: `GuidedDeformableAttention` says which.

        Returns:
          the branch's features in the order of time, and its improved flows.
        """
        backward = name.startswith("backward")
        clips = [to_clips(x.flip(1) if backward else x) for x in features.values()]
        seen, last = torch.cat(clips, dim=3), clips[-1]  # [clips, B, 2, channels, h, w]
        first = refined(self.backbone[name], seen[0], torch.zeros_like(last[0]))

        states = first[None]
        if sizes(seen)[0] > 1:
            step = Step(self.deform_align[name], self.backbone[name])
            after, *alignment = fold(name, step, first, (seen[1:], last[1:], last[:-1], *alignment))
            states = torch.cat([states, after])
        result = states.transpose(0, 1).flatten(1, 2)
        return (result.flip(1) if backward else result), alignment

    def reconstruct(self, features: dict[str, Tensor]) -> Tensor:
        """What is added to the input, at four times the features' resolution; each frame by itself."""
        x = self.conv_before_upsampler(self.reconstruction(torch.cat(list(features.values()), dim=2)))
        frames = sizes(x)[1]
        for name in ("0", "5"):
            x = self.upsampler[name](x)
            shuffled = functional.leaky_relu(functional.pixel_shuffle(x.flatten(0, 1), 2), SLOPE)
            x = in_time(shuffled, frames)
        return self.conv_last(self.upsampler["10"](x))


def quarter(rgb_BTCHW: Tensor) -> Tensor:
    """Bicubic quarter without antialiasing, for flow."""
    small = functional.interpolate(
        rgb_BTCHW.flatten(0, 1), scale_factor=0.25, mode="bicubic", antialias=False
    )
    return in_time(small, sizes(rgb_BTCHW)[1])


def enlarged(rgb_BTCHW: Tensor) -> Tensor:
    """Bilinear, four times the size."""
    large = functional.interpolate(rgb_BTCHW.flatten(0, 1), scale_factor=float(SCALE), mode="bilinear")
    return in_time(large, sizes(rgb_BTCHW)[1])


def to_clips(x_BTCHW: Tensor) -> Tensor:
    """[B, T, ...] to [T / 2, B, 2, ...]."""
    B, T, *rest = sizes(x_BTCHW)
    return x_BTCHW.reshape(B, T // CLIP, CLIP, *rest).transpose(0, 1)


def in_time(x_NCHW: Tensor, frames: int) -> Tensor:
    """[B T, C, H, W] to [B, T, C, H, W]."""
    N, *rest = sizes(x_NCHW)
    return x_NCHW.reshape(N // frames, frames, *rest)


def first_alignments(flow_BT2HW: Float[Tensor, "batch pair 2 height width"]) -> tuple[Tensor, Tensor]:
    """Flows of each clip but the first to the clip before, from flows between neighbouring frames.

    `flow[t]` is on frame t + 1 and points to frame t, in the order in which a branch goes. Frames 0, 1 are
    the previous clip's, 2, 3 this one's.

    Returns:
      [2 -> 0, 3 -> 1] and [2 -> 1, 3 -> 0] for each clip, [clips - 1, B, 2, 2, h, w].
    """
    steps = sizes(flow_BT2HW)[1] - 1
    from_1_to_0, from_2_to_1, from_3_to_2 = (flow_BT2HW[:, i : i + steps : 2] for i in range(3))
    from_2_to_0 = through(from_2_to_1, from_1_to_0)
    from_3_to_1 = through(from_3_to_2, from_2_to_1)
    from_3_to_0 = through(from_3_to_2, from_2_to_0)
    same = torch.stack([from_2_to_0, from_3_to_1], dim=2).transpose(0, 1)
    other = torch.stack([from_2_to_1, from_3_to_0], dim=2).transpose(0, 1)
    return same, other


def through(first_BT2HW: Tensor, second_BT2HW: Tensor) -> Tensor:
    """Two flows, one after the other."""
    return first_BT2HW + warp_clip(second_BT2HW, first_BT2HW)
