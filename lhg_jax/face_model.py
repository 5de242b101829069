"""The spectral face model: a neutral 3-D template of 68 landmarks and smooth fields that deform it.

Axes are the camera's: x right, y down, z away from the camera. The unit is the interocular distance (between
the means of the six landmarks of each eye, about 62 mm); the origin is the head's centre of rotation, between
the ears, so the face has z < 0 and a change of pitch alone is a real nod. Landmark order: iBUG 68.

Template. x and y are averages over dlib landmarks of near-frontal photographs, brought to the pose 0 and
made symmetric; lips are closed. z starts from anthropometric distances in front of the ear canal (mm): nose
root 93, nose tip 118, subnasale 101, mid-lid 84, outer eye corner 74, inner brow 99, lips 103, mouth corner
88, chin 84, jaw angle 27, ear 8. A bundle adjustment over a talking head turning ±20°, with these as prior
(sd 5 mm), moved them by 5 mm at most. Pitch 0 is the mean pitch of the photographs.

Deformation (after Taubin 1995; Lévy & Zhang 2010). The landmarks are vertices of a graph with stiffness w_ij:
firm along bone (jaw, brow, nose), loose across the mouth and the eyes. Bony landmarks are also tied to the
skull with stiffness g_i, so that a raised brow leaves the nose where it is; the constant field, which is the
head's translation, is then no free mode. With L = diag(g_i + sum_j w_ij) - W and L phi_k = lambda_k phi_k,
0 < lambda_1 <= lambda_2 ..., mode k moves the landmarks along x (or y) by phi_k, k = 1..32: 64 orthonormal
displacement fields, the smoothest ones that this stiffness allows. lambda_k is the elastic energy of a unit
of mode k, so it is also the natural weight of a ridge prior on its coefficient.

Projection (weak perspective, one image), values = (c [64], angle [3], (tx, ty, log s)):
    X = template + identity + sum_k c_k m_k
    uv = scale exp(log s) (R(angle) X)_xy + origin_xy + scale (tx, ty)
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from lhg_jax.motion import LANDMARK

LANDMARKS = 68
SCALAR_MODES = 32

# Image-left half and midline; the other half is its mirror.
_HALF = {
    # jaw, from the ear to the chin
    0: (-1.071, -0.409, -0.147),
    1: (-1.058, -0.128, -0.188),
    2: (-1.017, 0.148, -0.244),
    3: (-0.964, 0.425, -0.329),
    4: (-0.860, 0.672, -0.500),
    5: (-0.704, 0.897, -0.760),
    6: (-0.502, 1.088, -1.061),
    7: (-0.267, 1.238, -1.327),
    8: (0.000, 1.280, -1.423),
    # brow, from outside
    17: (-0.905, -0.682, -1.179),
    18: (-0.759, -0.791, -1.368),
    19: (-0.580, -0.812, -1.486),
    20: (-0.391, -0.780, -1.557),
    21: (-0.216, -0.698, -1.580),
    # nose: bridge, then the base
    27: (0.000, -0.462, -1.545),
    28: (0.000, -0.268, -1.690),
    29: (0.000, -0.072, -1.852),
    30: (0.000, 0.130, -2.003),
    31: (-0.205, 0.242, -1.602),
    32: (-0.104, 0.278, -1.683),
    33: (0.000, 0.314, -1.735),
    # eye: outer corner, upper lid, inner corner, lower lid
    36: (-0.691, -0.451, -1.184),
    37: (-0.572, -0.525, -1.302),
    38: (-0.423, -0.520, -1.342),
    39: (-0.295, -0.415, -1.306),
    40: (-0.435, -0.387, -1.323),
    41: (-0.584, -0.388, -1.294),
    # mouth, outer contour: corner, upper lip, lower lip
    48: (-0.378, 0.599, -1.406),
    49: (-0.235, 0.540, -1.604),
    50: (-0.094, 0.504, -1.712),
    51: (0.000, 0.534, -1.731),
    57: (0.000, 0.785, -1.655),
    58: (-0.102, 0.771, -1.622),
    59: (-0.239, 0.722, -1.549),
    # mouth, inner contour
    60: (-0.309, 0.607, -1.440),
    61: (-0.097, 0.609, -1.680),
    62: (0.000, 0.621, -1.700),
    66: (0.000, 0.636, -1.650),
    67: (-0.099, 0.625, -1.632),
}

# MIRROR[i] is the landmark on the other side of the face from landmark i.
MIRROR: Int[np.ndarray, "68"] = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *(27, 28, 29, 30, 35, 34, 33, 32, 31),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)


def _both_sides(half: Mapping[int, tuple[float, ...]], size: int) -> Float[np.ndarray, "68 size"]:
    """A field given on one half (missing landmarks are 0), completed by its mirror image (x changes sign)."""
    field = np.zeros((LANDMARKS, size))
    for index, value in half.items():
        field[index] = value
        field[MIRROR[index]] = (-value[0], *value[1:])
    field[np.arange(LANDMARKS) == MIRROR, 0] = 0.0
    return field


TEMPLATE: Float[np.ndarray, "68 3"] = _both_sides(_HALF, 3)

# Stiffness: (weight, chains of landmarks). The other half is mirrored; weights are relative, 1 = soft tissue.
_TIES: list[tuple[float, list[list[int]]]] = [
    (6.0, [list(range(0, 9)), [27, 28, 29, 30, 33, 32, 31], [31, 30], [30, 32]]),  # jaw bone, nose
    (4.0, [[17, 18, 19, 20, 21]]),  # brow
    (0.6, [[36, 37], [39, 38], [36, 41], [39, 40]]),  # lid to eye corner
    (2.0, [[37, 38], [40, 41]]),  # a lid moves as one
    (0.1, [[37, 41], [38, 40]]),  # across the eye
    (0.6, [[48, 49], [48, 59], [60, 61], [60, 67]]),  # lips to the mouth's corner
    (1.5, [[49, 50, 51], [59, 58, 57], [61, 62], [67, 66]]),  # lips
    (2.0, [[48, 60], [50, 61], [51, 62], [58, 67], [57, 66]]),  # thickness of a lip
    (0.1, [[61, 67], [62, 66]]),  # across the mouth
    (0.5, [[21, 27], [21, 39], [20, 38], [19, 37], [17, 36], [39, 27], [39, 28], [40, 29], [41, 31]]),
    (0.2, [[0, 17], [0, 36], [1, 36], [2, 41], [2, 31], [3, 48], [4, 48], [5, 48]]),  # cheek
    (0.5, [[31, 49], [32, 50], [33, 51], [21, 22]]),  # upper lip to nose
    (0.5, [[57, 8], [58, 7], [59, 6]]),  # lower lip to chin
]
# Stiffness of a landmark's tie to the skull.
_GROUND = {0: 4.0, 1: 2.0, 27: 8.0, 28: 8.0, 29: 8.0, 30: 8.0, 31: 2.0, 32: 4.0, 33: 8.0, 36: 2.0, 39: 2.0}


@functools.cache
def _spectrum() -> tuple[Float[np.ndarray, "68 32"], Float[np.ndarray, "32"]]:
    """(phi, lambda): the first 32 eigenvectors and eigenvalues of the landmark graph's grounded Laplacian."""
    weights_ij = np.zeros((LANDMARKS, LANDMARKS))
    for weight, chains in _TIES:
        for chain in chains:
            a, b = np.array(chain[:-1]), np.array(chain[1:])
            for i, j in ((a, b), (MIRROR[a], MIRROR[b])):
                weights_ij[i, j] = weights_ij[j, i] = weight
    ground = np.zeros(LANDMARKS)
    for index, weight in _GROUND.items():
        ground[[index, MIRROR[index]]] = weight
    eigenvalues, phi = np.linalg.eigh(np.diag(ground + weights_ij.sum(1)) - weights_ij)
    # An eigenvector's sign is arbitrary: its first clearly non-zero landmark is positive.
    first = (np.abs(phi) > 1e-3).argmax(0)
    phi = phi * np.sign(phi[first, np.arange(LANDMARKS)])
    return phi[:, :SCALAR_MODES], eigenvalues[:SCALAR_MODES]


@functools.cache
def modes() -> Float[np.ndarray, "64 68 3"]:
    """Orthonormal displacement fields: 0..31 move along x, 32..63 along y, smooth ones first in each."""
    phi, _ = _spectrum()
    fields = np.zeros((2 * SCALAR_MODES, LANDMARKS, 3))
    fields[:SCALAR_MODES, :, 0] = phi.T
    fields[SCALAR_MODES:, :, 1] = phi.T
    fields.setflags(write=False)
    return fields


def mode_energies() -> Float[np.ndarray, "64"]:
    """Elastic energy lambda of a unit of each mode (relative): weight of a ridge prior on its coefficient."""
    return np.tile(_spectrum()[1], 2)


# Full, natural actions: displacements (x, y) of the image-left half, interocular distances. FACS units; sizes
# of smile and blink were measured between photographs of one person and in a talking-head clip.
_ACTIONS: dict[str, dict[int, tuple[float, float]]] = {
    # AU12 with a little AU6: mouth corners out and up, cheeks and lower lids lifted.
    "smile": {
        **{48: (-0.09, -0.12), 60: (-0.085, -0.09), 49: (-0.045, -0.04), 59: (-0.04, -0.09)},
        **{50: (-0.015, 0.0), 51: (0.0, 0.005), 61: (-0.02, -0.015), 67: (-0.025, -0.015), 62: (0.0, -0.01)},
        **{66: (0.0, -0.01), 58: (-0.015, -0.055), 57: (0.0, -0.045), 31: (-0.02, 0.0), 41: (0.0, -0.025)},
        **{40: (0.0, -0.02), 3: (-0.015, 0.0), 4: (-0.02, 0.01), 5: (-0.01, 0.01)},
    },
    # AU45: the upper lid goes most of the way to the lower one.
    "blink": {37: (0.01, 0.12), 38: (-0.01, 0.116), 41: (0.0, -0.017), 40: (0.0, -0.017), 36: (0.01, 0.02)},
    # AU26: chin and lower lip drop, corners come in a little.
    "jaw_open": {
        **{8: (0.0, 0.18), 7: (0.0, 0.17), 6: (0.01, 0.13), 5: (0.015, 0.08), 4: (0.01, 0.03)},
        **{57: (0.0, 0.2), 58: (0.0, 0.195), 59: (0.01, 0.13), 66: (0.0, 0.21), 67: (0.0, 0.2)},
        **{48: (0.02, 0.06), 60: (0.015, 0.06)},
    },
    # AU1+2: the whole brow goes up.
    "brow_raise": {
        **{17: (0.0, -0.09), 18: (0.0, -0.12), 19: (0.0, -0.13), 20: (0.0, -0.13), 21: (0.0, -0.12)},
        **{37: (0.0, -0.02), 38: (0.0, -0.02)},
    },
    # AU4: brows down and together.
    "frown": {
        **{17: (0.0, 0.02), 18: (0.01, 0.035), 19: (0.02, 0.055), 20: (0.035, 0.07), 21: (0.045, 0.075)},
        **{37: (0.0, 0.015), 38: (0.0, 0.015)},
    },
    # AU24: lips pressed together and thinner.
    "lip_press": {
        **{48: (0.02, 0.0), 60: (0.015, 0.0), 49: (0.01, 0.035), 50: (0.0, 0.045), 51: (0.0, 0.045)},
        **{57: (0.0, -0.045), 58: (0.0, -0.045), 59: (0.01, -0.03)},
    },
}
ACTIONS = tuple(_ACTIONS)


def action_displacement(name: str) -> Float[np.ndarray, "68 2"]:
    """The landmark displacement (x, y; interocular distances) that `action(name)` approximates."""
    if name not in _ACTIONS:
        raise KeyError(f"no action {name!r}: there are {', '.join(ACTIONS)}")
    return _both_sides(_ACTIONS[name], 2)


def action(name: str) -> Float[np.ndarray, "64"]:
    """Coefficients of a clear, natural full action: one of `ACTIONS`. Raises KeyError naming them."""
    phi, _ = _spectrum()
    return (action_displacement(name).T @ phi).reshape(-1)


@functools.cache
def action_map(name: str) -> Float[np.ndarray, "64 64"]:
    """From expressions (rows) to what they have of one action: by least squares over all actions."""
    number, basis = list(ACTIONS).index(name), np.stack([action(each) for each in ACTIONS])
    return np.outer(np.linalg.pinv(basis)[:, number], basis[number])


def mirror(values: Float[np.ndarray, "*batch 70"]) -> Float[np.ndarray, "*batch 70"]:
    """The motion seen in a mirror: sides of the face exchanged; yaw, roll and x change sign."""
    return (values * _mirror_signs()).astype(values.dtype)


@functools.cache
def _mirror_signs() -> Float[np.ndarray, "70"]:
    """What each coefficient is multiplied by; kept in single precision, for half of all crops need it."""
    phi, _ = _spectrum()
    parity = np.sign((phi * phi[MIRROR]).sum(0))  # +1: the same on both sides
    return np.concatenate([-parity, parity, [1, -1, -1], [-1, 1, 1]]).astype(np.float32)


def rotation(angle: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """R = Rz(roll) Ry(yaw) Rx(pitch) of (pitch, yaw, roll) in rad.

    Pitch > 0 nods down, yaw > 0 turns the nose to the image's left, roll > 0 turns clockwise in the image.
    """
    (cx, cy, cz), (sx, sy, sz) = (np.moveaxis(f(angle), -1, 0) for f in (np.cos, np.sin))
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


@dataclasses.dataclass(frozen=True)
class FaceAnchor:
    """What stays the same through a clip: whose face it is and where it stands in the image.

    Attributes:
      origin_xy: where the head's centre of rotation is drawn when trans is 0, pixels.
      scale: pixels per interocular distance when the log scale is 0.
      identity: what this person's neutral face adds to the template, interocular distances.
    """

    origin_xy: Float[np.ndarray, "2"]
    scale: float
    identity: Float[np.ndarray, "68 3"]


def head_shape(anchor: FaceAnchor, exp: Float[np.ndarray, "*batch 64"]) -> Float[np.ndarray, "*batch 68 3"]:
    """Landmarks in the head's own axes: template + identity + expression, interocular distances."""
    return TEMPLATE + anchor.identity + np.tensordot(exp, modes(), axes=1)


def project(anchor: FaceAnchor, values: Float[np.ndarray, "*batch 70"]) -> Float[np.ndarray, "*batch 68 2"]:
    """Landmarks in the image (pixels) of motion values in the space `motion.LANDMARK`."""
    exp, angle, trans = (values[..., LANDMARK.slice(name)] for name in ("exp", "angle", "trans"))
    rotated = head_shape(anchor, exp) @ np.swapaxes(rotation(angle), -1, -2)
    scale = anchor.scale * np.exp(trans[..., 2])[..., None, None]
    shift = anchor.origin_xy + anchor.scale * trans[..., :2]
    return scale * rotated[..., :2] + shift[..., None, :]
