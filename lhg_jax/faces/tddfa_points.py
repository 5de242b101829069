"""68 landmarks by 3DDFA_V2 (MIT), where dlib's model, which is for research only, may not be used.

3DDFA_V2 says where a head is, and its shape and expression in coefficients of a morphable model. Here those
place the 68 points by a linear map of our own (assets/tddfa_points.safetensors), fitted by
`tools/fit_tddfa_points.py`: the morphable model, which is licensed apart, is not needed. dlib still finds the
box, by a detector that is part of its code.

A crop that follows the box trembles as the box does. So, as in `alignment`, the first answer only says where
to look again, and points are averaged over slightly moved crops and their mirror images.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.face_model import MIRROR
from lhg_jax.faces import tddfa
from lhg_jax.faces.alignment import Effort, Points
from lhg_jax.faces.detection import Box, Image
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.faces.network import Parameters, load_network
from lhg_jax.faces.tddfa import MODEL_UNITS_PER_DECIMETRE, POSE, SIDE, TddfaNetwork
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights

ASSET = Path(__file__).parents[1] / "assets" / "tddfa_points.safetensors"
FACE = slice(12, 62)  # of the parameters: shape and expression
# The region for a box of dlib's detector: this many times its side, so much lower (in sides); the mean of 17
# faces whose region was known from dlib's landmarks.
BOX_MARGIN, BOX_DROP = 1.33, 0.066

Regions = Float[np.ndarray, "crops 4"]
Basis = Float[np.ndarray, "68 3 51"]


def load(weights: Path | None) -> LandmarkTracker:
    """The landmark tracker with points of a network exported by `python -m lhg_exporters tddfa`."""
    if weights is None:
        raise UserError("--tracker tddfa: needs its network, --tracker-weights FILE.onnx (docs/weights.md)")
    network = TddfaNetwork(load_network(weights, SIDE, "parameters"))
    return LandmarkTracker(TddfaPoints(network, basis()).align)


@functools.cache
def basis() -> Basis:
    """The package's map, read once."""
    variables, _ = load_weights(ASSET)
    return np.asarray(variables["basis"], np.float64)


@dataclasses.dataclass(frozen=True)
class TddfaPoints:
    """Finds the 68 points of a face in a box.

    Attributes:
      network: 3DDFA_V2.
      basis: from 1 and the parameters of shape and expression to points in the head's axes, decimetres.
    """

    network: TddfaNetwork
    basis: Basis

    def align(self, image: Image, box: Box, effort: Effort) -> Points:
        """The points (pixels, float64) of the face in a detector's box; see `alignment.align`."""
        rounds, moves = effort
        points = self._seen(image, box_region(box)[None])
        for _ in range(rounds):
            region = tddfa.landmark_region(points)
            shifts = np.tile(moves, 2) * (region[2] - region[0]) / 2
            points = self._seen(image, region + shifts)
        return points

    def _seen(self, image: Image, regions: Regions) -> Points:
        """The mean of what is found in these regions and in their mirror images."""
        regions = np.round(regions)  # as the crop does
        crops = np.stack([tddfa.crop(image, region) for region in regions])
        both = self.network.parameters(np.concatenate([crops, crops[:, :, ::-1]]))
        plain, mirrored = np.split(project(self.basis, both, np.tile(regions, (2, 1))), 2)
        mirrored = mirrored[:, MIRROR]
        mirrored[..., 0] = (regions[:, 0] + regions[:, 2] - 1)[:, None] - mirrored[..., 0]
        return (plain + mirrored).mean(axis=0) / 2


def box_region(box: Box) -> Float[np.ndarray, "4"]:
    """Where to look first for the face in a box of dlib's detector."""
    side = box[2] - box[0]
    centre = (box[:2] + box[2:]) / 2 + [0, BOX_DROP * side]
    half = BOX_MARGIN * side / 2
    return np.concatenate([centre - half, centre + half])


def project(basis: Basis, parameters: Parameters, regions: Regions) -> Float[np.ndarray, "crops 68 2"]:
    """The points (pixels of the image) that parameters measured in regions stand for."""
    turn, origin = cameras(parameters, regions)
    shape = np.einsum("pck,nk->npc", basis, face_columns(parameters))
    return np.einsum("nac,npc->npa", turn, shape) + origin[:, None]


def face_columns(parameters: Parameters) -> Float[np.ndarray, "crops 51"]:
    """1, then shape and expression: what the basis is multiplied by."""
    return np.column_stack([np.ones(len(parameters)), parameters[:, FACE]])


def cameras(
    parameters: Parameters, regions: Regions
) -> tuple[Float[np.ndarray, "crops 2 3"], Float[np.ndarray, "crops 2"]]:
    """From the head's axes (decimetres; y up) to pixels of the image: a matrix, and where the origin lies."""
    rows = parameters[:, POSE].reshape(-1, 3, 4)[:, :2]
    pixels = (regions[:, 2] - regions[:, 0]) / SIDE  # of the image, in one of the crop
    down = np.array([1.0, -1.0])[:, None]
    turn = rows[..., :3] * down * MODEL_UNITS_PER_DECIMETRE * pixels[:, None, None]
    shift = np.column_stack([rows[:, 0, 3] - 1, SIDE - rows[:, 1, 3]])
    return turn, regions[:, :2] + shift * pixels[:, None]
