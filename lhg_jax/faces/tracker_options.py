"""Options of the commands that look at faces: who finds them, and with which weights."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lhg_jax.util.cli import Maybe

if TYPE_CHECKING:  # dlib and OpenCV are not for the cheap errors
    from lhg_jax.faces import Tracker


@dataclasses.dataclass(frozen=True)
class TrackerOptions:
    """Who finds the faces' landmarks."""

    tracker: Literal["dlib", "tddfa"] = "dlib"
    """Who finds landmarks: dlib, whose model is for research only, or tddfa (3DDFA_V2, MIT), which needs
    --tracker-weights and carries no blinks or brows."""
    tracker_weights: Maybe[Path] = None
    """Network of the face tracker (docs/weights.md): of --tracker tddfa, or of a renderer's own space."""

    def load(self) -> "Tracker":
        """The tracker in the space `landmark`. Raises `UserError` for weights that do not fit it."""
        from lhg_jax.faces import get_tracker
        from lhg_jax.motion import LANDMARK

        return get_tracker(LANDMARK, self.tracker_weights, self.tracker)

    def stamps(self) -> list[tuple[str, int, int]]:
        """Name, size (bytes) and date (ns) of the network's file, where there is one."""
        path = self.tracker_weights
        return [(path.name, path.stat().st_size, path.stat().st_mtime_ns)] if path else []


@dataclasses.dataclass(frozen=True)
class SpaceOptions(TrackerOptions):
    """Who measures the faces of clips that a listener is trained on, and in which space."""

    space: Literal["landmark", "liveportrait", "deep3d", "deep3d_crop", "tddfa"] = "landmark"
    """Coefficient space of the motion, e.g. that of the renderer which a listener trained on these clips will
    drive. All but `landmark` need --tracker-weights (docs/weights.md)."""

    def load(self) -> "Tracker":
        """The tracker in this space. Raises `UserError` for weights that do not fit it."""
        from lhg_jax.faces import get_tracker
        from lhg_jax.motion import SPACES

        return get_tracker(SPACES[self.space], self.tracker_weights, self.tracker)

    def stamps(self) -> list[tuple[str, int, int]]:
        """As of the network; one network may measure two spaces."""
        return super().stamps() if self.space == "landmark" else [*super().stamps(), (self.space, 0, 0)]
