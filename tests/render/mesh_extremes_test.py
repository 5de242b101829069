"""Small and large portraits, and turned ones: nothing tears, folds over or leaves a fringe behind."""

import cv2
import numpy as np
import pytest
from mesh_person import Fit, person_before_a_wall

from lhg_jax.face_model import FaceAnchor
from lhg_jax.render.mesh.renderer import MeshRenderer

MOTIONS = [(10, 14, 6, 0.3, -0.1), (-12, -15, -8, -0.5, 0.2), (0, 20, 0, 0.0, 0.5), (0, -20, 0, 0.8, 0.0)]

# Beyond what people do: without its guard the warp folds over in one of these at least, in each of the poses.
WILD = [(0, 0, 0, 2.0, 0.0), (28, 28, 0, -1.0, 1.0), (-28, 30, -20, -2.0, 0.0)]


def enlarged(zoom, angle):
    """The picture and its fit at `zoom` times the size (20 pixels between the eyes)."""
    portrait, _, fit = person_before_a_wall(angle=angle)
    large = cv2.resize(portrait, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    anchor = FaceAnchor(fit.anchor.origin_xy * zoom, fit.anchor.scale * zoom, fit.anchor.identity)
    return large, Fit(fit.values, anchor, (fit.landmarks + 0.5) * zoom - 0.5)


def moved(fit, motion):
    values = fit.values.copy()
    values[64:67] += np.radians(motion[:3])
    values[67:69] += motion[3:]
    return values


def folded_cells(renderer, values):
    d = renderer.warp.displacement(values) / renderer.warp.step
    xx, xy = 1 + np.gradient(d[..., 0], axis=1), np.gradient(d[..., 0], axis=0)
    yx, yy = np.gradient(d[..., 1], axis=1), 1 + np.gradient(d[..., 1], axis=0)
    return int((xx * yy - xy * yx <= 0).sum())


def stray_part(frame):
    """Share of the frame that is skin or cloth away from the person, or wall inside of it."""
    warm = (frame[..., 0].astype(int) > frame[..., 2]).astype(np.uint8)
    parts = []
    for mask in (warm, 1 - warm):
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        sizes = np.sort(stats[1:, cv2.CC_STAT_AREA])
        parts.append(sizes[:-1].sum() if mask is warm else sizes[sizes < 0.01 * mask.size].sum())
    return sum(parts) / warm.size


@pytest.mark.parametrize("yaw", [-30, 0, 30])
@pytest.mark.parametrize(
    "zoom", [0.7, 2.3, pytest.param(4096 / 240, marks=pytest.mark.slow)], ids=["small", "medium", "large"]
)
def test_nothing_tears_folds_or_stays_behind(zoom, yaw):
    portrait, fit = enlarged(zoom, (0.0, np.radians(yaw), 0.0))
    renderer = MeshRenderer(portrait, fit)
    assert yaw or renderer.layers is not None  # turned, it may stay one sheet
    before = stray_part(portrait)
    for motion in MOTIONS:
        values = moved(fit, motion)
        assert folded_cells(renderer, values) == 0
        (frame,) = renderer.render(values[None])
        assert np.abs(frame.astype(int) - portrait).mean() > 1
        assert stray_part(frame) < before + 0.002
    assert [folded_cells(renderer, moved(fit, motion)) for motion in WILD] == [0, 0, 0]
