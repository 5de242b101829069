"""Where every point of a portrait stands in 3-D and what it moves with: precomputed fields on a coarse grid.

All lengths are interocular distances of the portrait, all axes the camera's (face_model.py). At a grid point
u:

  position  P(u) = ((u - origin) / scale, z(u)). z is a thin-plate spline through the 68 landmarks of the
            fitted face model, the visible half of an ellipsoid for forehead, scalp and hair, the neck, and a
            flat background far away. An image with depth of slope z_x, turned by the angle a, is compressed
            by cos(a) - |sin(a) z_x| and folds over where that is negative, so the slope is bounded. There are
            four depths: one for turns and one for nods, bounded by SLOPE (the side of a nose; safe to 20
            degrees), and the same two bounded by FLAT_SLOPE (safe to 40), which take over as a turn grows. In
            all of them jaw, ears and hair follow the face more than their own depth says (`Relief`), because
            what is seen there is an occluding contour, which slides over the skin.
  head      w(u) in [0, 1]: 1 on the head, falling smoothly to 0 with the distance d from the head's outline:
            over a neck length below the jaw, over a length of air or hair elsewhere. What is near the head
            follows it, so nothing tears; background far away does not move at all.
  body      b(u) in [0, 1]: 1 below the neck and falling to 0 around, of a person cut out also above; the part
            that big shifts drag along.
  spread    I(u) [68]: thin-plate influence of a landmark's displacement on u, 0 outside the face.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Float
from scipy.interpolate import RBFInterpolator

from lhg_jax.render.smoothstep import smoothstep

# Skull and hair of an adult, in the head's axes: centre and semi-axes (anthropometric means: vertex 115 mm
# above the pupils, head breadth 150 mm; 62 mm a unit; hair adds about 12 mm).
SKULL_CENTRE = np.array([0.0, -0.62, 0.1])
SKULL_AXES = np.array([1.28, 1.70, 1.72])
NECK = 1.5  # from the jaw to where the shoulders stand still
SKIN = 0.55  # outside the landmarks' hull, over which expression fades
SLOPE, FLAT_SLOPE = 2.3, 0.95  # of the depth
OUTLINE = [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]
OUTLINE_DEPTH = -1.3  # that the outline's depth is drawn to
_BROW_TOP = -0.95  # head's y above which the ellipsoid, not the landmarks, gives the depth


@dataclasses.dataclass(frozen=True)
class Relief:
    """What is left of the difference between the depth of the outline's parts and `OUTLINE_DEPTH`."""

    jaw: float
    ear: float
    skull: float


# In turns: so much that two networks see a yaw as large as it is; the skull by what real clips show of hair.
# In nods the jaw of a talking head kept 0.55; less keeps the face more alike, and shows less of a nod. Both
# are measured in docs/benchmarks.md.
TURNS = Relief(jaw=0.85, ear=0.85, skull=0.5)
NODS = Relief(jaw=0.05, ear=0.65, skull=0.4)


@dataclasses.dataclass(frozen=True)
class Around:
    """What is around a head and how it follows.

    Attributes:
      air: how far outside the skull all goes with the head, and over what distance from there it stops.
      body_from: y from the chin at which the body begins to take over.
    """

    air: tuple[float, float]
    body_from: float


WALL = Around(air=(0.3, 1.9), body_from=0.0)  # a sheet's background must not tear
# Of a person cut out, only hair and neck are there: all that does not go with the head goes with the body, so
# that between them nothing folds when both move by more than a neck's length.
PERSON = Around(air=(0.3, 2.2), body_from=-8.0)


@dataclasses.dataclass(frozen=True)
class HeadField:
    """The fields of the module docstring, sampled on a grid of rows x columns over the image."""

    position: Float[np.ndarray, "rows columns 2"]
    depths: Float[np.ndarray, "4 rows columns"]
    head: Float[np.ndarray, "rows columns"]
    body: Float[np.ndarray, "rows columns"]
    spread: Float[np.ndarray, "68 rows columns"]


def build_head_field(
    grid: Float[np.ndarray, "rows columns 2"],
    shape: Float[np.ndarray, "68 3"],
    rotation: Float[np.ndarray, "3 3"],
    around: Around = WALL,
) -> HeadField:
    """Fields for a head.

    Args:
      grid: the grid points minus the head's centre, in interocular distances of the portrait.
      shape: the landmarks in the head's axes (template + identity + expression of the portrait).
      rotation: the portrait's pose.
      around: `WALL` or `PERSON`.
    """
    landmarks = shape @ rotation.T
    skull = _skull(shape) @ rotation.T
    step = np.abs(grid[0, 1, 0] - grid[0, 0, 0])
    turning, nodding = (_depth(grid, landmarks, skull, rotation, relief) for relief in (TURNS, NODS))
    depths = [(depth, slope) for slope in (SLOPE, FLAT_SLOPE) for depth in (turning, nodding)]
    bounded = [_bound_slope(depth, step, slope) for depth, slope in depths]
    head, body = _weights(grid, landmarks, skull, rotation, around)
    return HeadField(grid, np.stack(bounded), head, body, _spread(grid, landmarks))


def _drawn(depth: Float[np.ndarray, "points"], relief: float) -> Float[np.ndarray, "points"]:
    """Depths drawn to `OUTLINE_DEPTH`; `relief` of the difference is left."""
    return OUTLINE_DEPTH + relief * (depth - OUTLINE_DEPTH)


def _skull(shape: Float[np.ndarray, "68 3"]) -> Float[np.ndarray, "points 3"]:
    """Points over the whole ellipsoid, widened to this person's face width."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 24, endpoint=False), np.linspace(0.08, np.pi - 0.08, 13))
    sphere = np.stack([np.sin(v) * np.cos(u), -np.cos(v), np.sin(v) * np.sin(u)], -1).reshape(-1, 3)
    half_width = np.clip((shape[16, 0] - shape[0, 0]) / 2, 0.9, 1.3)
    axes = SKULL_AXES * [half_width / 1.07, 1.0, 1.0]
    return SKULL_CENTRE + sphere * axes


def _depth(
    grid: Float[np.ndarray, "rows columns 2"],
    landmarks: Float[np.ndarray, "68 3"],
    skull: Float[np.ndarray, "points 3"],
    rotation: Float[np.ndarray, "3 3"],
    relief: Relief,
) -> Float[np.ndarray, "rows columns"]:
    """Depth z(u) by a thin-plate spline with a little smoothing, so that no slope is steep."""
    in_head = skull @ rotation
    visible = (skull[:, 2] < (SKULL_CENTRE @ rotation.T)[2]) & (in_head[:, 1] < _BROW_TOP)
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    far = np.stack([np.cos(turns), np.sin(turns)], -1) * 4.5
    neck = np.array(
        [[x, y, z] for y, z in ((1.6, -0.75), (2.0, -0.3), (2.7, -0.1)) for x in (-0.5, 0.0, 0.5)]
    )
    ears = np.array([[side * 1.28, y, -0.02] for side in (-1, 1) for y in (-0.4, 0.0, 0.4)])
    neck, ears, skull = neck @ rotation.T, ears @ rotation.T, skull[visible]
    points = np.concatenate([part[:, :2] for part in (landmarks, skull, neck, ears)] + [far])
    face = landmarks[:, 2].copy()
    face[OUTLINE] = _drawn(face[OUTLINE], relief.jaw)
    drawn = [face, _drawn(skull[:, 2], relief.skull), neck[:, 2], _drawn(ears[:, 2], relief.ear)]
    values = np.concatenate([*drawn, np.zeros(len(far))])
    spline = RBFInterpolator(points, values, kernel="thin_plate_spline", smoothing=0.002)
    reach = np.linalg.norm(grid, axis=-1, keepdims=True)
    inside = grid * np.minimum(1.0, 4.5 / np.maximum(reach, 1e-6))
    return spline(inside.reshape(-1, 2)).reshape(grid.shape[:2])


def _bound_slope(
    depth: Float[np.ndarray, "rows columns"], step: float, slope: float
) -> Float[np.ndarray, "rows columns"]:
    """The mean of the largest and the smallest surface of bounded slope below and above `depth`.

    Both come from relaxation over neighbours (distances along rows, columns and diagonals of the grid).
    """
    below, above = depth, depth
    for _ in range(int(2.5 / step)):
        below = np.minimum(below, _neighbours(below, np.minimum, slope * step))
        above = np.maximum(above, _neighbours(above, np.maximum, -slope * step))
    return cv2.GaussianBlur((below + above) / 2, (0, 0), 0.04 / step)


def _neighbours(depth: np.ndarray, pick: np.ufunc, rise: float) -> Float[np.ndarray, "rows columns"]:
    padded = np.pad(depth, 1, mode="edge")
    rows, columns = depth.shape
    best = depth
    for dy, dx in np.ndindex(3, 3):
        shifted = padded[dy : dy + rows, dx : dx + columns] + rise * np.hypot(dy - 1, dx - 1)
        best = pick(best, shifted)
    return best


def _weights(
    grid: Float[np.ndarray, "rows columns 2"],
    landmarks: Float[np.ndarray, "68 3"],
    skull: Float[np.ndarray, "points 3"],
    rotation: Float[np.ndarray, "3 3"],
    around: Around,
) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
    """(w, b) of the module docstring."""
    outline = np.concatenate([landmarks[:, :2], skull[:, :2][(skull @ rotation)[:, 1] < 0.1]])
    distance = _distance(grid, outline)
    down = rotation[:2, 1] / np.linalg.norm(rotation[:2, 1])
    below = grid @ down
    across = grid @ np.array([down[1], -down[0]])
    chin = (landmarks[8, :2]) @ down
    under_jaw = smoothstep((below - 0.35 * chin) / (0.65 * chin))
    start = around.air[0] + (0.05 - around.air[0]) * under_jaw
    length = around.air[1] + (NECK - around.air[1]) * under_jaw
    head = 1.0 - smoothstep((distance - start) / length)
    wide = 1.0 - smoothstep((np.abs(across) - 2.2) / 3.0)
    begins = smoothstep((below - chin - around.body_from) / NECK)
    body = begins * (1.0 - smoothstep((below - chin - NECK) / 4.0)) * wide
    return head, body


def _spread(
    grid: Float[np.ndarray, "rows columns 2"], landmarks: Float[np.ndarray, "68 3"]
) -> Float[np.ndarray, "68 rows columns"]:
    """Thin-plate influence of each landmark, held at 0 on a ring around the face and beyond."""
    xy = landmarks[:, :2]
    hull = cv2.convexHull(xy.astype(np.float32))[:, 0]
    centre = hull.mean(0)
    away = hull - centre
    ring = hull + away / np.linalg.norm(away, axis=1, keepdims=True) * SKIN * 1.2
    points = np.concatenate([xy, ring])
    distance = _distance(grid, xy)
    near = distance < SKIN
    spline = RBFInterpolator(points, np.eye(len(points))[:, :68], kernel="thin_plate_spline", smoothing=1e-3)
    spread = np.zeros((68, *grid.shape[:2]))
    spread[:, near] = spline(grid[near]).T
    return spread * (1.0 - smoothstep(distance / SKIN))


def _distance(
    grid: Float[np.ndarray, "rows columns 2"], outline: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "rows columns"]:
    """Distance from the convex hull of `outline`, 0 inside, slightly smoothed."""
    hull = cv2.convexHull(outline.astype(np.float32))
    flat = grid.reshape(-1, 2).astype(np.float32)
    signed = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in flat])
    distance = np.maximum(-signed, 0.0).reshape(grid.shape[:2])
    step = np.abs(grid[0, 1, 0] - grid[0, 0, 0])
    return cv2.GaussianBlur(distance, (0, 0), 0.12 / step)
