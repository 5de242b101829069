"""Trackers that show a crop of each face to a network: all that they have in common.

The face is found and followed as by the landmark tracker; its 68 landmarks say where the crop lies.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.faces import alignment, tracking_result
from lhg_jax.faces.alignment import Points
from lhg_jax.faces.detection import Image
from lhg_jax.faces.face_tracking import follow
from lhg_jax.faces.tracking_result import PortraitFit, VideoFit
from lhg_jax.media import Frame
from lhg_jax.motion import CoefficientSpace
from lhg_jax.util import interop
from lhg_jax.util.errors import UserError

BATCH = 16  # faces given to the network at once; crops are kept no longer than that

Crops = UInt8[np.ndarray, "faces side side 3"]
Places = Float[np.ndarray, "faces place"]
Parameters = Float[np.ndarray, "faces parameters"]


def load_network(weights: Path | None, side: int, output: str) -> interop.ExternalNetwork:
    """A network from images [N, 3, side, side] to one output.

    Raises `UserError` where there is none, or another one.
    """
    if weights is None:
        raise UserError(
            "--tracker-weights: this face tracker needs its network, an .onnx file (docs/weights.md)"
        )
    return interop.load_as(weights, [output], image=(1, 3, side, side))


@runtime_checkable
class FaceNetwork(Protocol):
    """What differs between these trackers."""

    @property
    def space(self) -> CoefficientSpace:
        """Of the motion."""

    def crop(
        self, image: Image, landmarks: Points
    ) -> tuple[UInt8[np.ndarray, "side side 3"], Float[np.ndarray, "place"]]:
        """What the network sees of a face with these landmarks (pixels), RGB, and where that lay."""

    def parameters(self, crops: Crops) -> Parameters:
        """The network's parameters of each crop."""

    def values(self, parameters: Parameters, places: Places) -> Float[np.ndarray, "faces coeff"]:
        """Motion values of each face."""


@dataclasses.dataclass(frozen=True)
class NetworkPortrait(PortraitFit):
    """A face in a still image.

    Attributes:
      parameters: all that the network says of the face.
      place: where the crop lay, as the tracker's module defines it.
    """

    parameters: Float[np.ndarray, "parameters"]
    place: Float[np.ndarray, "place"]


@dataclasses.dataclass(frozen=True)
class NetworkVideo(VideoFit):
    """A face through a video.

    Attributes:
      parameters: all that the network says of each frame in which the face was seen; not smoothed.
      places: where their crops lay, as the tracker's module defines it.
    """

    parameters: Parameters
    places: Places


@dataclasses.dataclass(frozen=True)
class NetworkTracker:
    """Tracks one face with a network; holds no state between calls."""

    network: FaceNetwork

    @property
    def space(self) -> CoefficientSpace:
        """Of the motion."""
        return self.network.space

    def track_image(self, image: Image, face: int | None = None) -> NetworkPortrait:
        """Measures the face in an RGB image; arguments and errors are those of `LandmarkTracker`."""
        box, warnings = tracking_result.choose(image, face)
        landmarks = alignment.align(image, box, alignment.STILL)
        faces = SeenFaces(self.network)
        faces.see(image, landmarks)
        parameters, places = faces.measured()
        values = self.network.values(parameters, places).astype(np.float32)
        return NetworkPortrait(values[0], box, landmarks, warnings, parameters[0], places[0])

    def track_video(
        self, frames: Iterable[Frame], on_frame: Callable[[], None] | None = None
    ) -> NetworkVideo:
        """Measures one face through a video; arguments and errors are those of `LandmarkTracker`."""
        faces = SeenFaces(self.network)
        sightings = follow(frames, on_frame, faces.see)
        found = tracking_result.require_face(sightings)
        parameters, places = faces.measured()
        values = self.network.values(parameters, places)
        motion = tracking_result.to_motion(self.space, values, sightings)
        return NetworkVideo(motion, found, tracking_result.warnings_of(sightings), parameters, places)


class SeenFaces:
    """Faces seen one by one, measured in batches."""

    def __init__(self, network: FaceNetwork):
        self.network = network
        self.crops: list[np.ndarray] = []
        self.places: list[np.ndarray] = []
        self.parameters: list[np.ndarray] = []

    def see(self, image: Image, landmarks: Points) -> None:
        """Keeps the crop of a face with these landmarks (pixels)."""
        crop, place = self.network.crop(image, landmarks)
        self.crops.append(crop)
        self.places.append(place)
        if len(self.crops) == BATCH:
            self._measure()

    def measured(self) -> tuple[Parameters, Places]:
        """Parameters and places of all faces seen, of which there must be one."""
        if self.crops:
            self._measure()
        return np.concatenate(self.parameters), np.stack(self.places)

    def _measure(self) -> None:
        self.parameters.append(self.network.parameters(np.stack(self.crops)))
        self.crops = []
