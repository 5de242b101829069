"""Motion: a coefficient space (names, sizes, units) and a sequence in it; what crosses every wall."""

import dataclasses
import os
import zipfile
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

FRAME_RATE = 30.0  # frames/s at which the model runs (DESIGN section 3)
MAX_GAP_S = 1.0  # longest gap in tracking that is bridged by a straight line


@dataclasses.dataclass(frozen=True)
class Part:
    """A named group of coefficients; `unit` is for people."""

    name: str
    size: int
    unit: str


@dataclasses.dataclass(frozen=True)
class CoefficientSpace:
    """The meaning of the last axis of a motion: named parts, in order."""

    name: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Number of coefficients of a frame."""
        return sum(part.size for part in self.parts)

    def slice(self, name: str) -> slice:
        """Where part `name` stands in a frame's coefficients. Raises KeyError naming the parts there are."""
        start = 0
        for part in self.parts:
            if part.name == name:
                return slice(start, start + part.size)
            start += part.size
        raise KeyError(f"space {self.name!r} has no part {name!r}: it has {[p.name for p in self.parts]}")

    def pose_indices(self) -> np.ndarray:
        """Indices of everything that is not expression: p of the paper's Eq. 6 (the rest is its beta)."""
        exp = self.slice("exp")
        return np.setdiff1d(np.arange(self.size), np.arange(exp.start, exp.stop))


# Angles are (pitch, yaw, roll), in each space with the signs of its tracker (faces/). In `landmark`, trans is
# relative to the anchor of the clip (face_model.py).
LANDMARK = CoefficientSpace(
    "landmark",
    (
        Part("exp", 64, "interocular distances"),
        Part("angle", 3, "rad"),
        Part("trans", 3, "x, y in interocular distances, log scale"),
    ),
)
TDDFA = CoefficientSpace(
    "tddfa",
    (
        Part("exp", 10, "1"),
        Part("angle", 3, "rad"),
        Part("trans", 3, "x, y in picture widths and heights, log of dm in picture heights"),
    ),
)
DEEP3D = CoefficientSpace(
    "deep3d", (Part("exp", 64, "1"), Part("angle", 3, "rad"), Part("trans", 3, "BFM units (dm)"))
)
DEEP3D_CROP = CoefficientSpace("deep3d_crop", (*DEEP3D.parts, Part("crop", 3, "scale, x, y in pixels")))
LIVEPORTRAIT = CoefficientSpace(
    "liveportrait",
    (
        Part("exp", 63, "half widths of the crop, 21 keypoints x (x, y, z)"),
        Part("angle", 3, "rad"),
        Part("trans", 3, "x, y in half widths of the crop, z unused"),
        Part("scale", 1, "log"),
    ),
)
SPACES = {space.name: space for space in (LANDMARK, TDDFA, DEEP3D, DEEP3D_CROP, LIVEPORTRAIT)}


def require_same_space(what_a: str, a: CoefficientSpace, what_b: str, b: CoefficientSpace) -> None:
    """Raises `UserError` naming both sides where two stages disagree on the space."""
    if a != b:
        raise UserError(f"{what_a} is in space {a.name!r} but {what_b} is in space {b.name!r}")


@dataclasses.dataclass(frozen=True)
class Motion:
    """A sequence of coefficients at a constant frame rate.

    Frame t spans [t/fps, (t+1)/fps) seconds and its values belong to the middle of that span.
    """

    space: CoefficientSpace
    values: Float[np.ndarray, "frames coeff"]
    fps: float = FRAME_RATE
    valid: Bool[np.ndarray, "frames"] | None = None

    def __post_init__(self):
        if self.values.ndim != 2 or self.values.shape[1] != self.space.size:
            raise UserError(
                f"motion of shape {self.values.shape} does not fit space {self.space.name!r} "
                f"(frames, {self.space.size})"
            )
        if not np.isfinite(self.values).all():
            raise UserError("motion holds values that are not finite")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def seen(self) -> Bool[np.ndarray, "frames"]:
        """Of each frame, whether it was measured; all of them where `valid` does not say."""
        return np.ones(len(self), bool) if self.valid is None else self.valid

    @property
    def bridged(self) -> Bool[np.ndarray, "frames"]:
        """Of each frame, whether it was measured or lies in a gap of `MAX_GAP_S` or less, under a line.

        What a model may take for the speaker's motion; through longer gaps the values are held, and mean
        nothing. A gap at either end has no line.
        """
        seen = self.seen
        frames = np.arange(len(self))
        before = np.maximum.accumulate(np.where(seen, frames, -len(self)))
        after = np.minimum.accumulate(np.where(seen, frames, 2 * len(self))[::-1])[::-1]
        inside = (before >= 0) & (after < len(self))
        return seen | (inside & (after - before <= MAX_GAP_S * self.fps))

    def part(self, name: str) -> Float[np.ndarray, "frames size"]:
        """The coefficients of one part."""
        return self.values[:, self.space.slice(name)]

    def bridged_at(self, times_s: Iterable[float]) -> Bool[np.ndarray, "times"]:
        """`bridged` of the frames nearest to given times (s)."""
        frames = (np.asarray(list(times_s)) * self.fps).astype(int)
        return self.bridged[np.clip(frames, 0, len(self) - 1)]

    def replace(self, **parts: np.ndarray) -> "Motion":
        """A copy with the given parts replaced, e.g. `motion.replace(angle=angles)`."""
        values = self.values.copy()
        for name, value in parts.items():
            values[:, self.space.slice(name)] = value
        return dataclasses.replace(self, values=values)

    def at_times(self, times_s: Iterable[float]) -> Float[np.ndarray, "times coeff"]:
        """Values at given times (s), linear between frame centres, held at both ends."""
        times = np.asarray(list(times_s), np.float64)
        centres = (np.arange(len(self)) + 0.5) / self.fps
        columns = [np.interp(times, centres, column) for column in self.values.T]
        return np.stack(columns, axis=1).astype(np.float32)


def save_motion(path: str | os.PathLike, motion: Motion) -> None:
    """Writes a motion to an .npz file (arrays only, no pickles), atomically."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, space=motion.space.name, values=motion.values, fps=motion.fps, valid=motion.seen)


def load_motion(path: str | os.PathLike) -> Motion:
    """Reads what `save_motion` wrote. Raises `UserError` for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            space = str(file["space"])
            if space not in SPACES:
                raise UserError(f"{path}: unknown coefficient space {space!r} (known: {', '.join(SPACES)})")
            values = file["values"].astype(np.float32)
            return Motion(SPACES[space], values, float(file["fps"]), file["valid"].astype(bool))
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a motion file written by --save-motion") from error
