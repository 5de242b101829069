"""Keypoints of the frames to draw: a source's face moved as a driver's, then stitched to its surroundings.

Guo et al., *LivePortrait*, arXiv 2407.03168, sections 3.3 and 3.4, with the options of the published program.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float

from lhg_jax.liveportrait.keypoints import KEYPOINTS, Face, Points, Still

Region = Literal["all", "exp", "pose", "lip", "eyes"]
Network = Callable[[np.ndarray], np.ndarray]  # feature [N, size] -> delta [N, size]

LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)
# (keypoint, axes) that an absolute expression is taken from; what is left is the person, not the expression.
EXPRESSIVE = (
    *((k, (0, 1, 2)) for k in (1, 2, 6, *range(11, 21))),
    *((3, (1,)), (4, (1,)), (5, (2,)), (8, (2,)), (9, (1, 2))),
)
OPEN_LIPS = 0.03  # lip ratio from which a mouth counts as open


@dataclasses.dataclass(frozen=True)
class Correctors:
    """The three small networks: stitching [N, 126] -> [N, 65], eye [N, 66] and lip [N, 65] -> [N, 63]."""

    stitching: Network
    eye: Network
    lip: Network


def drive(
    source: Face,
    driver: Face,
    *,
    relative: bool = True,
    region: Region = "all",
    neutral: np.ndarray | None = None,
) -> Points:
    """The source's keypoints in the driver's frames.

    Args:
      source: one frame.
      driver: the frames; the first one is where relative driving starts from.
      relative: add the driver's change since its first frame, or take over its motion itself.
      region: what moves.
      neutral: [21, 3] what a relative expression is measured from, in place of the driver's first frame (for
        a driver of one picture).
    """
    moves_pose = region in ("all", "pose")
    turn, scale, t = source.rotation, source.scale, source.t
    if moves_pose and relative:
        turn = driver.rotation @ np.swapaxes(driver.rotation[:1], -1, -2) @ source.rotation
        t = source.t + driver.t - driver.t[:1]
    elif moves_pose:
        turn, t = driver.rotation, driver.t
    if region == "all" and relative:
        scale = source.scale * driver.scale / driver.scale[:1]
    exp = np.repeat(source.exp, len(driver), axis=0)
    if region != "pose":
        exp = driven_expression(source, driver, relative, region, neutral)
    return Face(source.kp, turn, exp, scale, t).points()


def driven_expression(
    source: Face, driver: Face, relative: bool, region: Region, neutral: np.ndarray | None
) -> Points:
    """The expression of the frames to draw; see `drive`."""
    moved = driver.exp
    if relative:
        moved = source.exp + driver.exp - (driver.exp[:1] if neutral is None else neutral)
    taken = np.zeros((KEYPOINTS, 3), bool)
    if region in ("lip", "eyes"):
        taken[list(LIPS if region == "lip" else EYES)] = True
    elif relative:
        taken[:] = True
    else:
        for keypoint, axes in EXPRESSIVE:
            taken[keypoint, list(axes)] = True
    return np.where(taken, moved, source.exp)


def stitch(source: Still, driven: Points, network: Network) -> Points:
    """Keypoints whose frame fits the picture around the crop: shoulders and border stay where they are."""
    delta = network(pairs(source, driven))
    moved = driven + delta[:, :63].reshape(-1, KEYPOINTS, 3)
    moved[..., :2] += delta[:, None, 63:65]
    return moved


def pairs(source: Still, driven: Points) -> Float[np.ndarray, "frames 126"]:
    """What the stitching network reads."""
    still = np.broadcast_to(source, driven.shape)
    return np.concatenate([still.reshape(len(driven), -1), driven.reshape(len(driven), -1)], axis=1)


def retarget(source: Still, ratios: Float[np.ndarray, "frames ratio"], network: Network) -> Points:
    """By how much keypoints move to open eyes or lips as asked.

    Args:
      source: [1, 21, 3] the source's keypoints.
      ratios: the source's own (left and right eye, or lips), then the one wanted.
      network: for eyes or for lips.
    """
    still = np.broadcast_to(source.reshape(1, -1), (len(ratios), 3 * KEYPOINTS))
    return network(np.concatenate([still, ratios], axis=1, dtype=np.float32)).reshape(-1, KEYPOINTS, 3)


def close_lips(source: Still, own: Float[np.ndarray, "1"], network: Network) -> Still:
    """The change that shuts the source's lips; none where they are shut already."""
    if float(own[0]) < OPEN_LIPS:
        return np.zeros((1, KEYPOINTS, 3), np.float32)
    return retarget(source, np.array([[own[0], 0.0]], np.float32), network)


def amplify(source: Still, driven: Points, factor: float) -> Points:
    """Moves the keypoints `factor` times as far from the source's."""
    return source + (driven - source) * np.float32(factor)
