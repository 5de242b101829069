"""Face trackers: images in, motion out, each in its own coefficient space.

A tracker has `space`, `track_image(image, face=None) -> PortraitFit` and `track_video(frames,
on_frame=None) -> VideoFit` (`fits.py`). `landmark.py` is the default: dlib's 68 landmarks and the spectral
face model; `tddfa.py` and `deep3d.py` run networks on the crops that the same landmarks give (`network.py`).
`identity.py` says how much two faces look like one person.
"""

from pathlib import Path
from typing import Any

from lhg_jax.motion import CoefficientSpace
from lhg_jax.util import registry
from lhg_jax.util.errors import UserError

# Name of a tracker's coefficient space -> "module:function"; the function takes a path of weights or None.
TRACKERS: dict[str, str] = {
    "landmark": "lhg_jax.faces.landmark:load",
    "tddfa": "lhg_jax.faces.tddfa:load",
    "deep3d": "lhg_jax.faces.deep3d:load",
    "deep3d_crop": "lhg_jax.faces.deep3d:load_with_crop",
    "liveportrait": "lhg_jax.faces.liveportrait:load",
}


def get_tracker(space: CoefficientSpace, weights: Path | None = None) -> Any:
    """A new tracker whose motion is in `space`. Raises `UserError` listing the spaces that have one."""
    if space.name not in TRACKERS:
        raise UserError(f"no face tracker measures the space {space.name!r} (known: {', '.join(TRACKERS)})")
    return registry.find("face tracker", space.name, TRACKERS)(weights)
