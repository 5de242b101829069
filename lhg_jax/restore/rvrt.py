"""RVRT: restores frames (super-resolution x4, deblurring or denoising) tile by tile.

Liang et al., *Recurrent Video Restoration Transformer with Guided Deformable Attention*, NeurIPS 2022
(arXiv 2206.02146). The network (`python -m lhg_exporters rvrt`) takes tiles of one size, chosen when it was
exported; tiles overlap in time and space and fade into each other.

Memory: beside the network's own, for frames of H x W pixels, tiles of T frames and an enlargement of s (4 or
1): 3 T H W bytes of input and 12 (2 T + 2) s^2 H W bytes of output, whatever the length of the video.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

OVERLAP_FRAMES = 2  # of neighbouring tiles; more costs time, less shows where they meet
OVERLAP_PIXELS = 20  # of the input
SIGMA = 10.0  # standard deviation of the noise that a denoising network is told of, of 255, by default

Image = UInt8[np.ndarray, "height width 3"]
Clip = UInt8[np.ndarray, "frames height width 3"]
Restored = Float[np.ndarray, "frames rows columns 3"]


@dataclasses.dataclass(frozen=True)
class RVRTRestorer:
    """A callable from an iterator of images to an iterator of as many, restored.

    Attributes:
      stage: the network, from video [1, T, C, H, W] to restored [1, T, 3, s H, s W]; C = 4 has sigma / 255.
      tile: T, H, W.
      sigma: of the noise, of 255; used by denoising networks alone.
    """

    stage: interop.ExternalNetwork
    tile: tuple[int, int, int]
    sigma: float = SIGMA

    def __call__(self, images: Iterator[Image]) -> Iterator[Image]:
        """Restores images of one size, of any number and size."""
        for image in in_time(images, self.tile[0], OVERLAP_FRAMES, self.restore):
            yield np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)

    def restore(self, clip: Clip) -> Restored:
        """T frames of any size, restored in tiles; values are near [0, 1], not clamped."""
        return in_space(clip, self.tile[1:], OVERLAP_PIXELS, self._network)

    def _network(self, tile: Clip) -> Restored:
        video = tile.astype(np.float32).transpose(0, 3, 1, 2)[None] / 255
        if self.stage.inputs["video"].shape[2] == 4:
            noise = np.full_like(video[:, :, :1], self.sigma / 255)
            video = np.concatenate([video, noise], axis=2)
        restored = self.stage(video=np.ascontiguousarray(video))["restored"]
        return restored[0].transpose(0, 2, 3, 1)


def load(weights: Path | None) -> RVRTRestorer:
    """The restorer with a network made by `python -m lhg_exporters`. Raises `UserError` for any other."""
    if weights is None:
        raise UserError("--restore-weights: RVRT needs its network, an .onnx file (docs/weights.md)")
    stage = interop.load(weights)
    shape = stage.inputs["video"].shape if list(stage.inputs) == ["video"] else ()
    if len(shape) != 5 or stage.outputs != ("restored",) or shape[2] not in (3, 4):
        raise UserError(f"{weights}: not a network made by `python -m lhg_exporters rvrt`")
    frames, rows, columns = shape[1], shape[3], shape[4]
    if frames is None or rows is None or columns is None:
        raise UserError(f"{weights}: its tiles have no fixed size (export it again with --tile)")
    try:
        sigma = float(stage.metadata.get("sigma", SIGMA))
    except ValueError:
        raise UserError(f"{weights}: its sigma is no number ({stage.metadata['sigma']!r})") from None
    return RVRTRestorer(stage, (frames, rows, columns), sigma)


def in_time(
    images: Iterator[Image], length: int, overlap: int, restore: Callable[[Clip], Restored]
) -> Iterator[Float[np.ndarray, "rows columns 3"]]:
    """Restores a stream in clips of `length` frames that share `overlap` and fade over them.

    The last clip ends with the stream and so may share more. A stream shorter than a clip is lengthened by
    running back and forth through it.
    """
    kept: collections.deque[np.ndarray] = collections.deque(maxlen=length)
    pending: list[np.ndarray] = []  # restored, but the next clip has a say in them
    fresh = 0  # frames that no clip has held yet
    for image in images:
        kept.append(image)
        fresh += 1
        if len(pending) + fresh == length:
            done = faded(pending, restore(np.stack(kept)))
            yield from done[: length - overlap]
            pending, fresh = list(done[length - overlap :]), 0
    if not fresh:
        yield from pending
    elif len(kept) == length:
        yield from faded(pending, restore(np.stack(kept))[length - fresh - len(pending) :])
    else:
        clip = np.pad(np.stack(kept), [(0, length - len(kept)), (0, 0), (0, 0), (0, 0)], mode="symmetric")
        yield from restore(clip)[: len(kept)]


def faded(before: list[np.ndarray], after: Restored) -> Restored:
    """`after`, its first frames mixed with those of `before`, less and less."""
    for i, image in enumerate(before):
        weight = np.float32((i + 1) / (len(before) + 1))
        after[i] = image + weight * (after[i] - image)
    return after


def in_space(
    clip: Clip, tile: tuple[int, int], overlap: int, restore: Callable[[Clip], Restored]
) -> Restored:
    """Restores frames in tiles of (rows, columns) that share `overlap` pixels or more and fade over them.

    Frames smaller than a tile are filled up with their mirror image.
    """
    height, width = clip.shape[1:3]
    missing = [(0, max(0, want - have)) for want, have in zip(tile, (height, width), strict=True)]
    clip = np.pad(clip, [(0, 0), *missing, (0, 0)], mode="symmetric")
    rows, columns = (
        tile_weights(size, want, overlap) for size, want in zip(clip.shape[1:3], tile, strict=True)
    )
    total: np.ndarray | None = None
    scale = 1
    for top, weight_y in rows:
        for left, weight_x in columns:
            part = restore(clip[:, top : top + tile[0], left : left + tile[1]])
            if total is None:
                scale = part.shape[1] // tile[0]
                total = np.zeros((len(clip), scale * clip.shape[1], scale * clip.shape[2], 3), np.float32)
            weight = np.repeat(weight_y, scale)[:, None] * np.repeat(weight_x, scale)
            at = np.s_[:, scale * top : scale * (top + tile[0]), scale * left : scale * (left + tile[1])]
            total[at] += part * weight[..., None]
    assert total is not None
    return total[:, : scale * height, : scale * width]


def tile_weights(size: int, tile: int, overlap: int) -> list[tuple[int, Float[np.ndarray, "tile"]]]:
    """Starts of tiles along an axis, and the weights of their pixels, which add up to 1 everywhere.

    Tiles share `overlap` pixels or more, small ones half of theirs.
    """
    overlap = min(overlap, tile // 2)
    starts = [*range(0, size - tile, tile - overlap), size - tile]
    weights = np.zeros((len(starts), size))
    for row, start in zip(weights, starts, strict=True):
        ramp = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)).astype(np.float64)
        row[start : start + tile] = np.minimum(ramp, overlap)
    # Nothing fades towards the image's own border: there is no other tile there, and the sum is this one's.
    weights /= weights.sum(axis=0)
    return [
        (start, row[start : start + tile].astype(np.float32))
        for start, row in zip(starts, weights, strict=True)
    ]
