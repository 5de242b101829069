"""The mesh renderer: one portrait moved as a whole by landmark motion, without a generative network.

A coarse grid over the portrait carries for each point u its place P(u) in 3-D and what it moves with
(head.py). For a frame with pose (R, t, log s), the portrait's (R0, t0, log s0) and the anchor's scale k, a
point moves by

  D(u) = w(u) [(k s R R0^T - k s0 I) P(u) + k (t - t0)]_xy     the head and what hangs on it
       + k s [R]_xy,xy sum_l I_l(u) e_l                        expression: the landmarks' change e_l, but for
                                                               the opening of eyes and mouth (openings.py)
       + b(u) (1 - w(u)) [k (t - t0)' + k (s' - 1) P_xy]       shoulders: only what the neck does not allow,
                                                               x' = x - limit tanh(x / limit)

which is linear in numbers known per frame: one [2, 77] x [77, points] product. At the image's edges the part
of D that would pull in what the photograph does not show is bounded by a fraction of the distance to the
edge, so no border appears; turns, shifts and zooms beyond what a still portrait bears approach a limit; and
what would still fold over is scaled down. The inverse of u -> u + D(u) is found on the grid by Newton's
method, enlarged to pixels, and the portrait, in which eyes and mouth have been redrawn, is sampled there
(bicubic).

At the portrait's own values D = 0 and the frame is the portrait, bit for bit.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.face_model import FaceAnchor, head_shape, rotation
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.render.mesh.head import HeadField, build_head_field, smoothstep
from lhg_jax.render.mesh.openings import Openings, portrait_displacement, shared_displacement
from lhg_jax.util.errors import UserError

SMALLEST_FACE = 12.0  # pixels between the eyes below which there is nothing to render
NECK_SHIFT = 0.35  # interocular distances the head may shift before the shoulders follow
NECK_ZOOM = 0.12  # the same for the log scale
TURN_KEPT, TURN_LIMIT = np.radians(28.0), np.radians(35.0)  # turns from the portrait's pose: exact, at most
SHIFT = (
    0.45,
    0.65,
)  # shift from the portrait, interocular distances: exact, at most (the background must not tear)
ZOOM = 0.15, 0.25  # the same for the log scale
# Turns out of the image plane at which the flatter depth begins and has taken over.
FLATTEN = np.radians([11.0, 34.0])
LEAST_AREA = 0.1  # to which the warp may shrink a part of the portrait: it never folds over
_EDGE = 0.7  # fraction of the distance to the image's edge that content may move away from it
_POINTS_PER_EYE_DISTANCE = 10


@runtime_checkable
class PortraitFit(Protocol):
    """What a tracker says of a portrait (faces/landmark.py)."""

    values: np.ndarray  # [70], motion.LANDMARK
    anchor: FaceAnchor
    landmarks: np.ndarray  # [68, 2] pixels


class MeshRenderer:
    """Renders motion in the space `motion.LANDMARK` on one portrait."""

    space = LANDMARK

    def __init__(self, portrait: UInt8[np.ndarray, "height width 3"], fit: PortraitFit):
        """Precomputes all that depends only on the portrait.

        Raises `UserError` where the face is too small to be drawn.
        """
        self.portrait = portrait
        values = np.asarray(fit.values, np.float64)
        self._exp, angle, trans = (values[LANDMARK.slice(name)] for name in ("exp", "angle", "trans"))
        self._angle, self._trans, self._unit = angle, trans, float(fit.anchor.scale)
        self._scale = self._unit * np.exp(trans[2])
        if self._scale < SMALLEST_FACE:
            raise UserError(
                f"portrait: {self._scale:.0f} pixels between the eyes are too few to render "
                f"(at least {SMALLEST_FACE:.0f}; give a larger picture of the face)"
            )
        self._pose = rotation(angle)
        self._centre = fit.anchor.origin_xy + self._unit * trans[:2]
        shape = head_shape(fit.anchor, self._exp)
        seen = (np.asarray(fit.landmarks, np.float64) - self._centre) / self._scale
        aligned = np.column_stack([seen, (shape @ self._pose.T)[:, 2]]) @ self._pose
        self._openings = Openings(
            portrait, np.asarray(fit.landmarks, np.float64), aligned, self._scale * self._pose[:2, 1]
        )
        self._shared = shared_displacement()
        self._lay_grid(aligned)

    def _lay_grid(self, shape: Float[np.ndarray, "68 3"]) -> None:
        """The grid over the part of the image that can move, and the linear basis of its displacement."""
        height, width = self.portrait.shape[:2]
        self.step = max(2, round(self._scale / _POINTS_PER_EYE_DISTANCE))
        low = np.clip(np.floor(self._centre - self._scale * np.array([5.2, 5.0])), 0, None).astype(int)
        high = np.minimum(np.ceil(self._centre + self._scale * np.array([5.2, 7.8])), [width, height]).astype(
            int
        )
        self._box = (slice(low[1], high[1]), slice(low[0], high[0]))
        columns, rows = -(-(high - low) // self.step)
        # Grid points are the middles of cells of step x step pixels, as cv2.resize has it.
        x = low[0] + (np.arange(columns) + 0.5) * self.step - 0.5
        y = low[1] + (np.arange(rows) + 0.5) * self.step - 0.5
        grid = np.stack(np.meshgrid(x, y), -1)
        field = build_head_field((grid - self._centre) / self._scale, shape, self._pose)
        self._basis = _basis(field)
        limits = np.stack([grid, [width - 1, height - 1] - grid], -1)
        self._limits = (_EDGE * np.maximum(limits, 0.0) + 1e-3).astype(np.float32)
        self._cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
        pixels = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        self._pixels = np.stack(pixels, -1).astype(np.float32)

    def animate(
        self, motion: Motion, times_s: Float[np.ndarray, "frames"]
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Yields one frame for each time."""
        return self.render(motion.at_times(times_s))

    def render(
        self, values: Float[np.ndarray, "frames coeff"]
    ) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        """Yields one frame for each row of `values`.

        Raises `UserError` where values have another size than the space or are not finite.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != LANDMARK.size:
            raise UserError(
                f"mesh renderer: motion of shape {values.shape} is not in space {LANDMARK.name!r} "
                f"(frames, {LANDMARK.size})"
            )
        if not np.isfinite(values).all():
            raise UserError("mesh renderer: motion holds values that are not finite")
        return (self._frame(row.astype(np.float64)) for row in values)

    def _frame(self, row: Float[np.ndarray, "70"]) -> UInt8[np.ndarray, "height width 3"]:
        source = self.portrait.copy()
        displacement = portrait_displacement(row[LANDMARK.slice("exp")] - self._exp)
        self._openings.apply(source, displacement)
        moved = self.displacement(row)
        if not np.any(moved):
            return source
        back = _invert(moved, self._cells, self.step)
        rows, columns = _moving(back)
        pixels = self._pixels[_enlarged(rows, self.step), _enlarged(columns, self.step)]
        height, width = pixels.shape[:2]
        back = back[rows, columns]
        size = back.shape[1] * self.step, back.shape[0] * self.step
        lookup = pixels + cv2.resize(back, size, interpolation=cv2.INTER_LINEAR)[:height, :width]
        left, top = pixels[0, 0].astype(int)
        frame = source.copy()
        frame[top : top + height, left : left + width] = cv2.remap(
            source, lookup, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
        return frame

    def displacement(self, row: Float[np.ndarray, "70"]) -> Float[np.ndarray, "rows columns 2"]:
        """D of the module docstring at the grid points, pixels."""
        exp, angle, trans = (row[LANDMARK.slice(name)] for name in ("exp", "angle", "trans"))
        pose = rotation(self._angle + _limited(angle - self._angle, TURN_KEPT, TURN_LIMIT))
        step = trans - self._trans
        length = np.hypot(*step[:2])
        step[:2] *= _limited(length, *SHIFT) / max(length, 1e-9)
        step[2] = _limited(step[2], *ZOOM)
        scale = self._scale * np.exp(step[2])
        turn = pose @ self._pose.T
        head = scale * turn[:2] - self._scale * np.eye(3)[:2]
        flat = smoothstep(
            (np.arccos(np.clip(turn[2, 2], -1.0, 1.0)) - FLATTEN[0]) / (FLATTEN[1] - FLATTEN[0])
        )
        down = self._pose[:2, 1] / np.linalg.norm(self._pose[:2, 1])
        nod = down * (head[:, 2] @ down)
        depth = np.stack([(1.0 - flat) * (head[:, 2] - nod), (1.0 - flat) * nod, flat * head[:, 2]], axis=1)
        shift = self._unit * step[:2]
        landmarks = portrait_displacement(exp - self._exp)[:, :2]
        landmarks[:, 1] = self._shared @ landmarks[:, 1]
        face = scale * pose[:2, :2] @ landmarks.T
        body_shift = self._unit * _beyond(step[:2], NECK_SHIFT)
        body_zoom = self._scale * np.expm1(_beyond(step[2], NECK_ZOOM)) * np.eye(2)
        parts = [head[:, :2], depth, shift[:, None], face, body_zoom, body_shift[:, None]]
        coefficients = np.concatenate(parts, axis=1).astype(np.float32)
        moved = (coefficients @ self._basis).reshape(2, *self._cells.shape[:2]).transpose(1, 2, 0)
        return _unfolded(self._keep_edges(moved), self.step)

    def displacement_at(
        self, points: Float[np.ndarray, "points 2"], row: Float[np.ndarray, "70"]
    ) -> Float[np.ndarray, "points 2"]:
        """Where the warp moves points of the portrait (pixels), relative to where they are."""
        low = np.array([self._box[1].start, self._box[0].start])
        at = ((points - low + 0.5) / self.step - 0.5).astype(np.float32)
        moved = self.displacement(row).astype(np.float32)
        return cv2.remap(moved, at[None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]

    def _keep_edges(self, moved: Float[np.ndarray, "rows columns 2"]) -> Float[np.ndarray, "rows columns 2"]:
        """Bounds displacement away from an edge by a fraction of the distance to that edge."""
        near, far = self._limits[..., 0], self._limits[..., 1]
        fourth_power = (moved / np.where(moved > 0, near, far)) ** 4
        return moved / np.sqrt(np.sqrt(1.0 + fourth_power))  # bends later than tanh


def load(weights: Path | None) -> type[MeshRenderer]:
    """The renderer of `lhg_jax.render`. It has no weights; `UserError` where some are named."""
    if weights:
        raise UserError("--renderer-weights: the mesh renderer takes none")
    return MeshRenderer


def _basis(field: HeadField) -> Float[np.ndarray, "77 points"]:
    """Columns of D: head (P_xy, three depths, 1), landmarks, body (P_xy and 1)."""
    body = field.body * (1.0 - field.head)
    position = np.concatenate([np.moveaxis(field.position, -1, 0), field.depths])
    parts = [position * field.head, field.head[None], field.spread, position[:2] * body, body[None]]
    stacked = np.concatenate(parts)
    return np.ascontiguousarray(stacked.reshape(len(stacked), -1), np.float32)


def _invert(
    moved: Float[np.ndarray, "rows columns 2"],
    cells: Float[np.ndarray, "rows columns 2"],
    step: int,
    rounds: int = 6,
) -> Float[np.ndarray, "rows columns 2"]:
    """B with x + D(x) = y at x = y + B(y), for D and B in pixels at the grid points (Newton's method)."""
    forward = np.ascontiguousarray(moved / step, np.float32)
    slope = _slope(forward)
    at = cells - forward
    for _ in range(rounds):
        value = cv2.remap(forward, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        j = cv2.remap(slope, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        off = at + value - cells
        xx, xy, yx, yy = 1.0 + j[..., 0], j[..., 1], j[..., 2], 1.0 + j[..., 3]
        determinant = np.maximum(xx * yy - xy * yx, 0.2)
        x = (yy * off[..., 0] - xy * off[..., 1]) / determinant
        y = (xx * off[..., 1] - yx * off[..., 0]) / determinant
        at = at - np.stack([x, y], -1)
    return (at - cells) * step


def _moving(back: Float[np.ndarray, "rows columns 2"]) -> tuple[slice, slice]:
    """Rows and columns of the grid outside of which nothing moves, with a margin of one cell."""
    ends = []
    for axis in (1, 0):
        (index,) = np.nonzero(np.any(back, axis=(axis, 2)))
        ends.append(slice(max(index[0] - 1, 0), index[-1] + 2) if len(index) else slice(0, 1))
    return ends[0], ends[1]


def _enlarged(cells: slice, step: int) -> slice:
    """The pixels of a run of cells."""
    return slice(cells.start * step, cells.stop * step)


def _slope(forward: Float[np.ndarray, "rows columns 2"]) -> Float[np.ndarray, "rows columns 4"]:
    """Derivatives of a field given in cells: dx/dx, dx/dy, dy/dx, dy/dy."""
    return np.dstack([np.gradient(forward[..., i], axis=axis) for i in (0, 1) for axis in (1, 0)])


def _unfolded(moved: Float[np.ndarray, "rows columns 2"], step: int) -> Float[np.ndarray, "rows columns 2"]:
    """`moved`, scaled down just so far that the determinant of u -> u + D(u) stays above LEAST_AREA.

    The determinant for D scaled by x is 1 + x trace + x^2 det; only wild motion brings it that low.
    """
    xx, xy, yx, yy = np.moveaxis(_slope(moved / step), -1, 0)
    trace, det = xx + yy, xx * yy - xy * yx
    low = 1.0 + trace + det < LEAST_AREA
    if not low.any():
        return moved
    trace, det, room = trace[low].astype(np.float64), det[low].astype(np.float64), 1.0 - LEAST_AREA
    root = np.sqrt(np.maximum(trace**2 - 4.0 * det * room, 0.0))
    return moved * np.float32((2.0 * room / (root - trace)).min())


def _limited(x: Any, kept: float, limit: float) -> Any:
    """x itself up to `kept`, beyond that approaching `limit` smoothly."""
    room = limit - kept
    excess = np.maximum(np.abs(x) - kept, 0.0)
    return np.sign(x) * (np.minimum(np.abs(x), kept) + room * np.tanh(excess / room))


def _beyond(x: Any, limit: float) -> Any:
    """What is left of x when the neck has taken up to `limit`."""
    return x - limit * np.tanh(x / limit)
