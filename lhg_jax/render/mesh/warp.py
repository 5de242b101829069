"""How every point of a portrait moves with the head, the face and the shoulders: one linear product a frame.

A coarse grid over the portrait carries for each point u its place P(u) in 3-D and what it moves with
(head.py). For a frame with pose (R, t, log s), the portrait's (R0, t0, log s0) and the anchor's scale k, a
point moves by

  D(u) = w(u) [(k s R R0^T - k s0 I) P(u) + k (t - t0)]_xy     the head and what hangs on it
       + k s [R]_xy,xy sum_l I_l(u) e_l                        the landmarks' change e_l, but for the
                                                               opening of eyes and mouth (eyes_and_mouth.py)
       + b(u) (1 - w(u)) [k (t - t0)' + k (s' - 1) P_xy]       shoulders: a part f of it, and what the neck
                                                               does not allow,
                                                               x' = x - limit tanh((1 - f) x / limit)

`Terms` are the numbers of a frame, `_basis` the fields that they multiply. At an edge of the image that the
person reaches, the part of D that would pull in what the photograph does not show is bounded by a fraction
of the distance to the edge; turns, shifts and zooms beyond what a still portrait bears approach a limit; and
what would still fold over is scaled down.
"""

import dataclasses
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.face_model import FaceAnchor, head_shape, rotation
from lhg_jax.motion import LANDMARK
from lhg_jax.render.mesh import grid, smile
from lhg_jax.render.mesh.eyes_and_mouth import portrait_displacement, shared_displacement
from lhg_jax.render.mesh.head import PERSON, WALL, Around, HeadField, build_head_field
from lhg_jax.render.smoothstep import limited, smoothstep

# Lengths are distances between the eyes (62 mm) unless they say otherwise.
POINTS_PER_EYE_DISTANCE = 10  # of the grid: a step of 6 mm
REACH = np.array([[-5.2, -5.0], [5.2, 7.8]])  # around the head's centre, beyond which nothing moves (head.py)
NECK_SHIFT, NECK_ZOOM = 0.35, 0.12  # shift and log scale that the neck takes up at most
TURN = np.radians(28.0), np.radians(35.0)  # turns from the portrait's pose: exact up to, at most
FLATTEN = np.radians(
    [11.0, 34.0]
)  # turns out of the image's plane at which the flatter depth begins and has taken over
EDGE = 0.7  # fraction of the distance to the image's edge that content may move away from it; by eye


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a portrait bears.

    Attributes:
      shift, zoom: shift and log scale, exact up to and at most.
      around: what moves around the head.
      follow: part of a small shift or zoom that the shoulders make too.
    """

    shift: tuple[float, float]
    zoom: tuple[float, float]
    around: Around
    follow: float


# People who talk or listen sway from the hips: in six clips the shoulders made 0.19, 0.30, 0.61, 0.72, 0.75
# and 0.94 of the head's shifts to the side.
LAYERS = Limits(shift=(1.5, 2.0), zoom=(0.25, 0.4), around=PERSON, follow=0.5)
SHEET = Limits(shift=(0.45, 0.65), zoom=(0.15, 0.25), around=WALL, follow=0.0)  # the background stands still


@runtime_checkable
class PortraitFit(Protocol):
    """What a tracker says of a portrait (faces/landmark.py)."""

    values: np.ndarray  # [70], motion.LANDMARK
    anchor: FaceAnchor
    landmarks: np.ndarray  # [68, 2] pixels


class PortraitHead:
    """The head in the portrait.

    Attributes:
      exp, angle, trans: the portrait's motion values.
      landmarks: [68, 2] pixels.
      unit, scale: pixels in a distance between the eyes: at log scale 0, in the portrait.
      pose: the rotation of `angle`.
      centre: where its centre of rotation is drawn, pixels.
      shape: [68, 3], the landmarks in the head's axes: those seen, with the model's depth.
    """

    def __init__(self, fit: PortraitFit):
        values = np.asarray(fit.values, np.float64)
        self.exp, self.angle, self.trans = (
            values[LANDMARK.slice(name)] for name in ("exp", "angle", "trans")
        )
        self.landmarks = np.asarray(fit.landmarks, np.float64)
        self.unit = float(fit.anchor.scale)
        self.scale = self.unit * float(np.exp(self.trans[2]))
        self.pose = rotation(self.angle)
        self.centre = fit.anchor.origin_xy + self.unit * self.trans[:2]
        depth = (head_shape(fit.anchor, self.exp) @ self.pose.T)[:, 2]
        self.shape = np.column_stack([(self.landmarks - self.centre) / self.scale, depth]) @ self.pose

    @property
    def down(self) -> Float[np.ndarray, "2"]:
        """The head's y axis in the image, pixels."""
        return self.scale * self.pose[:2, 1]

    def face_change(self, exp: Float[np.ndarray, "64"]) -> Float[np.ndarray, "68 3"]:
        """How an expression moves the landmarks, in the head's axes, distances between the eyes."""
        return smile.within_reach(portrait_displacement(exp - self.exp), self.shape)

    def reach(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the image that can move."""
        low, high = self.centre + self.scale * REACH
        left, top = (int(x) for x in np.clip(np.floor(low), 0, None))
        right, bottom = (int(x) for x in np.minimum(np.ceil(high), [width, height]))
        return slice(top, bottom), slice(left, right)


@dataclasses.dataclass(frozen=True)
class Terms:
    """The numbers of a frame that D is linear in, pixels; the rows are x and y.

    Attributes:
      head_turn: of w P_xy: turn, roll and zoom of the head.
      relief: of w times the four depths of head.py: what turns do, what nods do, both again when large.
      head_shift: of w.
      expression: of the landmarks' influences I_l.
      body_zoom, body_shift: of b (1 - w) P_xy and of b (1 - w).
    """

    head_turn: Float[np.ndarray, "2 2"]
    relief: Float[np.ndarray, "2 4"]
    head_shift: Float[np.ndarray, "2 1"]
    expression: Float[np.ndarray, "2 68"]
    body_zoom: Float[np.ndarray, "2 2"]
    body_shift: Float[np.ndarray, "2 1"]

    def row(self) -> Float[np.ndarray, "2 78"]:
        """All of them, in the order of `_basis`."""
        parts = [getattr(self, field.name) for field in dataclasses.fields(self)]
        return np.concatenate(parts, axis=1).astype(np.float32)


def _basis(field: HeadField) -> Float[np.ndarray, "78 points"]:
    """The fields that `Terms` multiply, in their order."""
    body = field.body * (1.0 - field.head)
    place = np.moveaxis(field.position, -1, 0)
    head = [place * field.head, field.depths * field.head, field.head[None]]
    stacked = np.concatenate([*head, field.spread, place * body, body[None]])
    return np.ascontiguousarray(stacked.reshape(len(stacked), -1), np.float32)


class HeadWarp:
    """The moving grid over a portrait.

    Attributes:
      step: pixels between neighbouring points.
      shape: the grid's rows and columns.
      limits: what the portrait bears.
    """

    def __init__(
        self,
        head: PortraitHead,
        image_size: tuple[int, int],
        limits: Limits,
        free_sides: Bool[np.ndarray, "2 2"],
    ):
        """Precomputes all that depends only on the portrait.

        Args:
          head: whose.
          image_size: the portrait's height and width.
          limits: what it bears.
          free_sides: edges of the image (x: left, right; y: top, bottom) that the person does not reach.
        """
        self._head, self.limits, self._shared = head, limits, shared_displacement()
        height, width = image_size
        rows, columns = head.reach(height, width)
        self.step = max(2, round(head.scale / POINTS_PER_EYE_DISTANCE))
        # Grid points are the middles of cells of step x step pixels, as cv2.resize has it.
        x, y = (
            part.start + (np.arange(-(-(part.stop - part.start) // self.step)) + 0.5) * self.step - 0.5
            for part in (columns, rows)
        )
        points = np.stack(np.meshgrid(x, y), -1)
        places = (points - head.centre) / head.scale
        self._corner = np.array([columns.start, rows.start])
        self._basis = _basis(build_head_field(places, head.shape, head.pose, limits.around))
        self.shape = points.shape[:2]
        room = np.moveaxis(np.stack([points, [width - 1, height - 1] - points]), -1, 1)
        room[free_sides.T] = np.inf
        self._room = (EDGE * np.maximum(room, 0.0) + 1e-3).astype(np.float32)

    def terms(self, row: Float[np.ndarray, "70"]) -> Terms:
        """The numbers of a frame."""
        head = self._head
        exp, angle, trans = (row[LANDMARK.slice(name)] for name in ("exp", "angle", "trans"))
        pose = rotation(head.angle + limited(angle - head.angle, *TURN))
        shift, zoom = self._bearable(trans - head.trans)
        follow = self.limits.follow
        scale = head.scale * np.exp(zoom)
        turn = pose @ head.pose.T
        moved = scale * turn[:2] - head.scale * np.eye(3)[:2]
        landmarks = head.face_change(exp)[:, :2]
        landmarks[:, 1] = self._shared @ landmarks[:, 1]
        return Terms(
            head_turn=moved[:, :2],
            relief=self._relief(moved[:, 2], turn[2, 2], pose[:2, 1]),
            head_shift=head.unit * shift[:, None],
            expression=scale * pose[:2, :2] @ landmarks.T,
            body_zoom=head.scale * np.expm1(_passed_on(zoom, NECK_ZOOM, follow)) * np.eye(2),
            body_shift=head.unit * _passed_on(shift, NECK_SHIFT, follow)[:, None],
        )

    def _bearable(self, change: Float[np.ndarray, "3"]) -> tuple[Float[np.ndarray, "2"], float]:
        """Shift and log scale from the portrait's, within the limits."""
        length = np.hypot(*change[:2])
        shift = change[:2] * limited(length, *self.limits.shift) / max(length, 1e-9)
        return shift, float(limited(change[2], *self.limits.zoom))

    def _relief(
        self, by_depth: Float[np.ndarray, "2"], facing: float, down: Float[np.ndarray, "2"]
    ) -> Float[np.ndarray, "2 4"]:
        """The motion that a unit of depth makes, dealt out to the four depths of head.py.

        Args:
          by_depth: that motion.
          facing: cosine of the turn out of the image's plane.
          down: the head's y axis in the frame.
        """
        begin, end = FLATTEN
        flat = smoothstep((np.arccos(np.clip(facing, -1.0, 1.0)) - begin) / (end - begin))
        down = down / np.linalg.norm(down)
        nod = down * (by_depth @ down)
        turn = by_depth - nod
        return np.stack([(1.0 - flat) * turn, (1.0 - flat) * nod, flat * turn, flat * nod], axis=1)

    def displacement(self, row: Float[np.ndarray, "70"]) -> Float[np.ndarray, "rows columns 2"]:
        """D of the module docstring at the grid points, pixels."""
        moved = (self.terms(row).row() @ self._basis).reshape(2, *self.shape)
        fourth_power = np.square(np.square(moved / np.where(moved > 0, *self._room)))
        x, y = moved / np.sqrt(np.sqrt(1.0 + fourth_power))  # bends later than tanh
        return grid.unfolded(cv2.merge([x, y]), self.step)

    def displacement_at(
        self, points: Float[np.ndarray, "points 2"], row: Float[np.ndarray, "70"]
    ) -> Float[np.ndarray, "points 2"]:
        """Where the warp moves points of the portrait (pixels), relative to where they are."""
        at = ((points - self._corner + 0.5) / self.step - 0.5).astype(np.float32)
        moved = self.displacement(row).astype(np.float32)
        return cv2.remap(moved, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]


def _passed_on(x: Any, limit: float, follow: float) -> Any:
    """What the shoulders make of the head's x: `follow` of a small one, all but `limit` of a large one."""
    return x - limit * np.tanh((1.0 - follow) * x / limit)
