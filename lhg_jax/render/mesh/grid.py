"""Displacement on a coarse grid: kept from folding, inverted, enlarged to the pixels that move."""

import functools

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Displacement = Float[np.ndarray, "rows columns 2"]  # (x, y)
Cells = Float[np.ndarray, "rows columns"]
Plane = Float[np.ndarray, "part_height part_width"]
Lookup = tuple[Plane, Plane]  # x and y, float32

LEAST_AREA = 0.1  # to which a part of the image may shrink: above 0 it never folds over
STILL = 0.01  # pixels: what moves less is not drawn anew
# Of Newton's method. More do not bring it closer: OpenCV looks up in steps of 1/32 cell, which leaves up to
# 0.2 pixels in a portrait of 256 x 256.
ROUNDS = 4


def unfolded(moved: Displacement, step: int) -> Displacement:
    """D (pixels) at grid points `step` pixels apart, scaled down just so far that nothing folds.

    The determinant of the Jacobian of u -> u + x D(u) is 1 + x trace + x^2 det; only wild motion brings it
    down to `LEAST_AREA`.
    """
    xx, xy, yx, yy = _slope(np.ascontiguousarray(moved / step, np.float32))
    trace, det = xx + yy, xx * yy - xy * yx
    low = 1.0 + trace + det < LEAST_AREA
    if not low.any():
        return moved
    trace, det, room = trace[low].astype(np.float64), det[low].astype(np.float64), 1.0 - LEAST_AREA
    root = np.sqrt(np.maximum(trace**2 - 4.0 * det * room, 0.0))
    return moved * np.float32((2.0 * room / (root - trace)).min())


def _slope(forward: Displacement) -> tuple[Cells, Cells, Cells, Cells]:
    """Central differences of a field given in cells: dx/dx, dx/dy, dy/dx, dy/dy."""
    across, down = (
        cv2.Sobel(forward, cv2.CV_32F, *order, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    across[:, [0, -1]] *= 2  # one-sided there
    down[[0, -1]] *= 2
    (xx, yx), (xy, yy) = cv2.split(across), cv2.split(down)
    return xx, xy, yx, yy


def inverted(moved: Displacement, step: int) -> Displacement:
    """B with x + D(x) = y at x = y + B(y), for D and B in pixels at the grid points (Newton's method)."""
    forward = np.ascontiguousarray(moved / step, np.float32)
    cells = _cells(*moved.shape[:2])
    xx, xy, yx, yy = _slope(forward)
    jacobian = cv2.merge([1.0 + xx, xy, yx, 1.0 + yy])
    at = cells - forward
    for _ in range(ROUNDS):
        value = cv2.remap(forward, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        j = cv2.remap(jacobian, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        off_x, off_y = cv2.split(at + value - cells)
        xx, xy, yx, yy = cv2.split(j)
        determinant = np.maximum(xx * yy - xy * yx, 0.2)
        x, y = (yy * off_x - xy * off_y) / determinant, (xx * off_y - yx * off_x) / determinant
        at = at - cv2.merge([x, y])
    return (at - cells) * step


def changing(back: Displacement, step: int, person: Cells | None) -> tuple[slice, slice]:
    """Rows and columns of the grid outside of which the frame is as the portrait, with a margin of one cell.

    Args:
      back: the inverse displacement at the grid points, pixels.
      step: pixels between them.
      person: 1 in cells that show some of the person in the portrait; None: all that moves is drawn.
    """
    changes = (back[..., 0] != 0) | (back[..., 1] != 0)
    if person is not None:
        at = _cells(*back.shape[:2]) + back / np.float32(step)
        now = cv2.remap(person, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        changes &= np.maximum(now, person) > 0
    ends = []
    for axis in (1, 0):
        (index,) = np.nonzero(changes.any(axis=axis))
        ends.append(slice(max(int(index[0]) - 1, 0), int(index[-1]) + 2) if len(index) else slice(0, 1))
    return ends[0], ends[1]


def lookup(
    back: Displacement, step: int, box: tuple[slice, slice], person: Cells | None
) -> tuple[tuple[slice, slice], Lookup]:
    """Where the pixels that change come from.

    Args:
      back: the inverse displacement at the grid points, pixels.
      step: pixels between them.
      box: rows and columns of the image that the grid covers.
      person: as in `changing`.

    Returns:
      Rows and columns of the image that change; for each of their pixels the x and the y to look at.
    """
    rows, columns = changing(back, step, person)
    planes = cv2.split(np.ascontiguousarray(back[rows, columns]))
    top, left = box[0].start + rows.start * step, box[1].start + columns.start * step
    size = planes[0].shape[1] * step, planes[0].shape[0] * step
    height, width = min(size[1], box[0].stop - top), min(size[0], box[1].stop - left)
    x, y = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)[:height, :width] for plane in planes)
    x += np.arange(left, left + width, dtype=np.float32)
    y += np.arange(top, top + height, dtype=np.float32)[:, None]
    return (slice(top, top + height), slice(left, left + width)), (x, y)


def cells_of(mask: UInt8[np.ndarray, "height width"], step: int, shape: tuple[int, ...]) -> Cells:
    """1 in the grid's cells, and those around them, that hold a pixel of the mask."""
    padded = np.zeros((shape[0] * step, shape[1] * step), np.uint8)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    holds = padded.reshape(shape[0], step, shape[1], step).max(axis=(1, 3)) > 0
    return cv2.dilate(holds.astype(np.float32), np.ones((3, 3), np.uint8))


@functools.lru_cache(maxsize=8)
def _cells(rows: int, columns: int) -> Displacement:
    """The place of every grid point, in cells."""
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
    places.setflags(write=False)
    return places
