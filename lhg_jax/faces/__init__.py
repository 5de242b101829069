"""Face trackers: images in, motion out, each in its own coefficient space.

`get_tracker` gives a `Tracker`. `landmark.py` is the default: dlib's 68 landmarks (or those of
`tddfa_points.py`) and the spectral face model; `tddfa.py` and `deep3d.py` run networks on the crops that
dlib's landmarks give (`network.py`).
`identity.py` says how much two faces look like one person.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from lhg_jax.motion import CoefficientSpace
from lhg_jax.util import registry
from lhg_jax.util.errors import UserError

if TYPE_CHECKING:
    from lhg_jax.faces.tracking_result import PortraitFit, VideoFit
    from lhg_jax.media import Frame


@runtime_checkable
class Tracker(Protocol):
    """Measures one face. `space` is that of the motion it gives."""

    space: CoefficientSpace

    def track_image(self, image: np.ndarray, face: int | None = None) -> "PortraitFit":
        """The face of an RGB image: that of a number from the left, or the largest. Raises `UserError`."""
        ...

    def track_video(
        self, frames: "Iterable[Frame]", on_frame: Callable[[], None] | None = None
    ) -> "VideoFit":
        """The face of a video, largest when first found; `on_frame` is called after each frame."""
        ...


# Name of a tracker's coefficient space -> "module:function"; the function takes a path of weights or None.
TRACKERS: dict[str, str] = {
    "landmark": "lhg_jax.faces.landmark:load",
    "tddfa": "lhg_jax.faces.tddfa:load",
    "deep3d": "lhg_jax.faces.deep3d:load",
    "deep3d_crop": "lhg_jax.faces.deep3d:load_with_crop",
    "liveportrait": "lhg_jax.faces.liveportrait:load",
}

# Who finds the 68 points of the space `landmark` -> the same. Only dlib's model is for research alone.
DLIB = "dlib"
POINTS: dict[str, str] = {DLIB: TRACKERS["landmark"], "tddfa": "lhg_jax.faces.tddfa_points:load"}


def get_tracker(space: CoefficientSpace, weights: Path | None = None, points: str = DLIB) -> Tracker:
    """A new tracker whose motion is in `space`.

    Args:
      space: of the motion.
      weights: of the tracker, where it needs some.
      points: name in `POINTS`; other spaces than `landmark` have dlib's.

    Raises:
      UserError: no tracker gives that space (those that have one are listed), or other weights are needed.
    """
    if points != DLIB:
        if space.name != "landmark":
            raise UserError(
                f"--tracker {points}: measures the space 'landmark', and {space.name!r} is asked for"
            )
        return registry.find("tracker", points, POINTS)(weights)
    if space.name not in TRACKERS:
        raise UserError(f"no face tracker measures the space {space.name!r} (known: {', '.join(TRACKERS)})")
    return registry.find("face tracker", space.name, TRACKERS)(weights)
