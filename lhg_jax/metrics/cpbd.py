"""CPBD, a sharpness measure without a reference (Narvekar & Karam 2011), equal to the package `cpbd` 1.0.7.

CPBD is the share of edges whose blur is too small to be noticed. Edge widths are whole pixels of at least 2,
and the package's detection probability of 0.63 is reached exactly at the just noticeable width (3 or 5
pixels). So the measure is a ratio of two counts, and no width has to be followed further than 5 pixels.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

BLOCK = 64  # pixels; blocks start at the top left, a ragged rest is not looked at
MIN_EDGE_SHARE = 0.002  # of a block's pixels, for the block to count
LOW_CONTRAST = 50  # grey levels; up to here blur is noticed from 5 pixels, above from 3
WIDTH_LOW_CONTRAST, WIDTH = 5, 3
_TAN = np.sqrt(2) - 1  # of 22.5 degrees: where a direction stops being horizontal


def cpbd(grey: UInt8[np.ndarray, "height width"]) -> float:
    """Share of edges that look sharp, in [0, 1]; 0 without edges or below 64 pixels."""
    rows, columns, rising = horizontal_edges(grey)
    limit = _noticeable_width(grey)
    inside = (rows < limit.shape[0] * BLOCK) & (columns < limit.shape[1] * BLOCK)
    rows, columns, rising = rows[inside], columns[inside], rising[inside]
    noticeable = limit[rows // BLOCK, columns // BLOCK]
    counted = noticeable > 0
    if not counted.any():
        return 0.0
    widths = edge_widths(grey, rows[counted], columns[counted], rising[counted])
    return float(np.mean(widths <= noticeable[counted]))


def horizontal_edges(
    grey: UInt8[np.ndarray, "height width"],
) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"], Bool[np.ndarray, "edges"]]:
    """Edge pixels whose brightness changes along the row: (rows, columns, whether it rises to the right).

    Pixels with no horizontal gradient count as rising, as in the package. The border is left out.
    """
    rows, columns = np.nonzero(_thin(_strength(grey))[1:-1, 1:-1])
    rows, columns = rows + 1, columns + 1
    values = grey.astype(np.int32)
    along = values[rows, columns + 1] - values[rows, columns - 1]
    across = values[rows + 1, columns] - values[rows - 1, columns]
    # No ratio of whole numbers equals tan 22.5, so no direction falls between two classes.
    horizontal = (along == 0) | (np.abs(across) < _TAN * np.abs(along))
    return rows[horizontal], columns[horizontal], along[horizontal] >= 0


def _strength(grey: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Squared response of the vertical-edge Sobel filter, 0 where it is weak."""
    padded = np.pad(grey.astype(np.int32), 1, mode="edge")
    column = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    strength = np.square((column[:, 2:] - column[:, :-2]) / 8)
    strength[strength <= 2 * np.sqrt(np.mean(strength))] = 0
    return strength


def _thin(strength: Float[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Pixels above both neighbours in the row, or above both in the column; outside is 0."""
    padded = np.pad(strength, 1)
    in_row = (strength > padded[1:-1, :-2]) & (strength > padded[1:-1, 2:])
    in_column = (strength > padded[:-2, 1:-1]) & (strength > padded[2:, 1:-1])
    return in_row | in_column


def edge_widths(
    grey: UInt8[np.ndarray, "height width"],
    rows: Int[np.ndarray, "edges"],
    columns: Int[np.ndarray, "edges"],
    rising: Bool[np.ndarray, "edges"],
) -> Int[np.ndarray, "edges"]:
    """Widths in pixels of edges away from the border (Marziliano et al. 2004), followed up to 5 a side.

    A side is 1 plus the steps, from the pixel beside the edge outwards, along which brightness goes on
    strictly in the edge's direction. Exact where the two sides sum to 5 or less.
    """
    sign = np.where(rising, 1, -1)
    # Beyond the border the outermost value is repeated, which ends every run.
    padded = np.pad(grey.astype(np.int32), [(0, 0), (WIDTH_LOW_CONTRAST + 1,) * 2], mode="edge")
    centre = columns + WIDTH_LOW_CONTRAST + 1
    widths = np.zeros(len(rows), np.int64)
    for side in (-1, 1):
        going = np.ones(len(rows), bool)
        widths += 1
        for step in range(1, WIDTH_LOW_CONTRAST):
            change = padded[rows, centre + side * (step + 1)] - padded[rows, centre + side * step]
            going &= side * sign * change > 0
            widths += going
    return widths


def _noticeable_width(grey: UInt8[np.ndarray, "height width"]) -> Int[np.ndarray, "rows columns"]:
    """The just noticeable width (pixels) in each block with enough edges, 0 in the others."""
    from skimage.feature import canny

    blocks = _blocks(grey)
    if not blocks.size:
        return np.zeros(blocks.shape[:2], np.int64)
    edges = _blocks(canny(grey.astype(np.float64))).sum(axis=(2, 3))
    contrast = blocks.max(axis=(2, 3)).astype(np.int64) - blocks.min(axis=(2, 3))
    width = np.where(contrast <= LOW_CONTRAST, WIDTH_LOW_CONTRAST, WIDTH)
    return np.where(edges > MIN_EDGE_SHARE * BLOCK**2, width, 0)


def _blocks(image: np.ndarray) -> np.ndarray:
    """Whole blocks of an image: [rows, columns, 64, 64]."""
    rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    image = image[: rows * BLOCK, : columns * BLOCK]
    return image.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)


def grey_levels(images: UInt8[np.ndarray, "frames height width 3"]) -> Iterator[np.ndarray]:
    """Grey images as the official script has them: OpenCV's rounded 0.299 R + 0.587 G + 0.114 B."""
    import cv2

    return (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images)
