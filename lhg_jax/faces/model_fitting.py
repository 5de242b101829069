"""Least squares that turn landmarks into pose, expression and identity of the spectral face model.

A frame's landmarks uv [68, 2] (pixels) are modelled as (face_model.py)
    uv_i = s (R (T_i + d_i + e_i + n_i))_xy + t,
with the template T, the person's d (identity), the expression e = sum_k c_k m_k and noise n, all in
interocular distances in the head's axes. Gaussian priors make this well-posed; each is a covariance over
landmarks, the same for x and y:
    noise       N = diag(sigma_i^2) + sigma_s^2 g g^T: the sides of the jaw are an occluding contour, so when
                the head turns their landmarks slide over the skin, all together (pattern g), and say nothing
                of the turn. In a clip of a nodding head they follow the nose by 0.5 interocular distances
                times the sine of the pitch; on photographs warped by known poses, by as much;
    expression  E = Phi diag(tau^2 / lambda_k) Phi^T, the elastic energy: a ridge that grows with lambda;
    identity    D_ij = delta^2 exp(-|T_i - T_j|^2 / 2 l^2): people differ smoothly over the face.

Pose. Given the shape S, the pose minimises the residual in the metric of what may deform it, r^T (N + E)^-1
r: alternating "pose given expression" and "expression given pose" ends at the same point; this takes one
step. Nose, eye corners and ears are tied to the skull in E, so they carry the pose. Levenberg-Marquardt
over all frames at once, with Huber weights on the whitened residual (levenberg_marquardt.py).

Expression. With r the residual in the head's axes, the posterior mean of the coefficients is
c = diag(tau^2/lambda) Phi^T (N + E)^-1 r: a constant matrix.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from lhg_jax import face_model
from lhg_jax.face_model import SCALAR_MODES, TEMPLATE
from lhg_jax.faces.levenberg_marquardt import huber_weights, minimise

# Sd of a landmark, interocular distances; jitter alone is 0.004, the rest is the error of the trees.
NOISE = 0.012
JAW_NOISE = 0.03
SLIDE = 0.2  # sigma_s
# g, from the ear to the chin, the same on both sides.
_SLIDE_PATTERN = (1.0, 1.0, 0.95, 0.85, 0.7, 0.45, 0.2, 0.05, 0.0)
PITCH = np.radians(3.0)  # sd of the pitch at which an unknown person is seen
EXPRESSION = 0.1  # tau: sd of a mode's coefficient at unit energy; the clip measured has 0.03-0.2
IDENTITY, IDENTITY_LENGTH = 0.08, 0.45  # delta and l, interocular distances
IDENTITY_DEPTH = 0.05  # sd of a person's depth about the template's
OBSERVATIONS = 20  # a clip's frames count as so many independent views of the neutral face
HUBER = 2.5  # standard deviations
# Sd of an action in a portrait: what is usual when people are photographed.
PORTRAIT_ACTIONS = {"smile": 1.0, "jaw_open": 1.0, "blink": 0.3, "brow_raise": 0.3, "frown": 0.3}

_CHUNK = 256  # frames fitted at once: memory does not grow with the clip
_STEPS = 8  # of Levenberg-Marquardt from a frontal guess; 4 reach 0.001 degrees on a head turning ±20°


@dataclasses.dataclass(frozen=True)
class Pose:
    """Weak-perspective poses: angle (rad; pitch, yaw, roll), shift (pixels) and log of the scale (pixels)."""

    angle: Float[np.ndarray, "frames 3"]
    shift: Float[np.ndarray, "frames 2"]
    log_scale: Float[np.ndarray, "frames"]

    def take(self, index: slice) -> "Pose":
        """The poses of some frames."""
        return Pose(self.angle[index], self.shift[index], self.log_scale[index])

    @staticmethod
    def of_rows(rows: Float[np.ndarray, "frames 6"]) -> "Pose":
        """From a row of angle, shift and log of the scale for each frame."""
        return Pose(rows[:, :3], rows[:, 3:5], rows[:, 5])

    @staticmethod
    def joined(poses: Sequence["Pose"]) -> "Pose":
        """One after the other."""
        parts = [(pose.angle, pose.shift, pose.log_scale) for pose in poses]
        return Pose(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@functools.cache
def noise_covariance() -> Float[np.ndarray, "68 68"]:
    """N of the module's docstring."""
    sd = np.full(len(TEMPLATE), NOISE)
    sd[:17] = JAW_NOISE
    pattern = np.zeros(len(TEMPLATE))
    pattern[:9] = _SLIDE_PATTERN
    pattern[8:17] = _SLIDE_PATTERN[::-1]
    return np.diag(sd**2) + SLIDE**2 * np.outer(pattern, pattern)


@functools.cache
def expression_covariance() -> Float[np.ndarray, "68 68"]:
    """E of the module's docstring."""
    phi = face_model.modes()[:SCALAR_MODES, :, 0].T
    return (phi * EXPRESSION**2 / face_model.mode_energies()[:SCALAR_MODES]) @ phi.T


@functools.cache
def identity_covariance() -> Float[np.ndarray, "68 68"]:
    """D of the module's docstring."""
    apart = ((TEMPLATE[:, None] - TEMPLATE[None]) ** 2).sum(-1)
    return IDENTITY**2 * np.exp(-apart / (2 * IDENTITY_LENGTH**2))


def fit_pose(
    landmarks: Float[np.ndarray, "frames 68 2"], shape: Float[np.ndarray, "68 3"], *, known_person: bool
) -> Pose:
    """Poses of a shape (interocular distances) in frames of landmarks (pixels).

    Args:
      landmarks: finite everywhere.
      shape: template, plus identity where `known_person`; else identity is left free like the expression,
        and the pitch, which a long nose can pass for, has a prior.
    """
    covariance, pitch_weight = noise_covariance() + expression_covariance(), 0.0
    if not known_person:
        covariance, pitch_weight = covariance + identity_covariance(), PITCH**-2
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    chunks = [landmarks[i : i + _CHUNK].astype(np.float64) for i in range(0, len(landmarks), _CHUNK)]
    return Pose.joined([_fit_chunk(chunk, shape, whitener, pitch_weight) for chunk in chunks])


def _fit_chunk(
    landmarks: Float[np.ndarray, "frames 68 2"],
    shape: Float[np.ndarray, "68 3"],
    whitener: Float[np.ndarray, "68 68"],
    pitch_weight: float,
) -> Pose:
    """In units of a guess of each frame's place and scale, from a frontal pose on."""
    centre, size = landmarks.mean(1), landmarks.std(axis=(1, 2)) / shape[:, :2].std()
    problem = _PoseProblem(shape, (landmarks - centre[:, None]) / size[:, None, None], whitener)
    start = np.zeros((len(landmarks), 6))
    start[:, 3:5] = -shape[:, :2].mean(0)
    prior = np.array([pitch_weight, 0.0, 0.0, 0.0, 0.0, 0.0])
    rows = minimise(problem.residual, problem.jacobian, start, prior=prior, huber=HUBER, steps=_STEPS)
    pose = Pose.of_rows(rows)
    return Pose(pose.angle, pose.shift * size[:, None] + centre, pose.log_scale + np.log(size))


@dataclasses.dataclass(frozen=True)
class _PoseProblem:
    """W (s (R S)_xy + t - uv) of each frame, W the whitener, and its derivatives by a pose's six numbers."""

    shape: Float[np.ndarray, "68 3"]
    target: Float[np.ndarray, "frames 68 2"]
    whitener: Float[np.ndarray, "68 68"]

    def residual(self, rows: Float[np.ndarray, "frames 6"]) -> Float[np.ndarray, "frames 136"]:
        pose = Pose.of_rows(rows)
        turned = self._turned(face_model.rotation(pose.angle))
        scale = np.exp(pose.log_scale)[:, None, None]
        return self._whitened(scale * turned + pose.shift[:, None] - self.target)

    def jacobian(self, rows: Float[np.ndarray, "frames 6"]) -> Float[np.ndarray, "frames 6 136"]:
        pose = Pose.of_rows(rows)
        scale = np.exp(pose.log_scale)[:, None, None, None]
        # Entries of R are linear in the sine and the cosine of each angle, so half the difference between a
        # quarter turn to either side is the derivative, exactly.
        quarters, angle = np.pi / 2 * np.eye(3), pose.angle[:, None]
        by_angle = (face_model.rotation(angle + quarters) - face_model.rotation(angle - quarters)) / 2
        by_shift = np.broadcast_to(np.eye(2)[:, None], (len(rows), 2, len(self.shape), 2))
        by_log_scale = self._turned(face_model.rotation(pose.angle))[:, None]
        parts = [scale * self._turned(by_angle), by_shift, scale * by_log_scale]
        return self._whitened(np.concatenate(parts, axis=1))

    def _turned(self, rotation: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 68 2"]:
        return self.shape @ rotation[..., :2, :].swapaxes(-1, -2)

    def _whitened(self, field: Float[np.ndarray, "*batch 68 2"]) -> Float[np.ndarray, "*batch 136"]:
        return (self.whitener @ field).reshape(*field.shape[:-2], -1)


def turned_in_place(
    pose: Pose, angle: Float[np.ndarray, "frames 3"], shape: Float[np.ndarray, "frames 68 3"]
) -> Pose:
    """Poses of other angles (rad) that leave each frame's face where it is and as large as it is.

    The head turns about a point between the ears (face_model.py), far behind the face: another angle alone
    would carry the face away, by 0.07 interocular distances for a pitch of 10 degrees drawn as 12.5. Shift
    and scale are those of least squares over the landmarks, weighted by what is known of them, 1 / N_ii.

    Args:
      pose: as fitted.
      angle: those wanted.
      shape: the landmarks in the head's axes, interocular distances.
    """
    weights = 1.0 / np.diag(noise_covariance())
    weights /= weights.sum()
    before, after = ((shape @ face_model.rotation(a).swapaxes(1, 2))[..., :2] for a in (pose.angle, angle))
    middles = weights @ before, weights @ after
    a, b = before - middles[0][:, None], after - middles[1][:, None]
    growth = np.einsum("i,nic,nic->n", weights, a, b) / np.einsum("i,nic,nic->n", weights, b, b)
    shift = np.exp(pose.log_scale)[:, None] * (middles[0] - growth[:, None] * middles[1])
    return Pose(angle, pose.shift + shift, pose.log_scale + np.log(growth))


def head_coordinates(
    landmarks: Float[np.ndarray, "frames 68 2"], pose: Pose, depth: Float[np.ndarray, "68"]
) -> Float[np.ndarray, "frames 68 2"]:
    """x and y of the landmarks in the head's axes (interocular distances), given their z there.

    Not for profiles: at 90 degrees of yaw an image says nothing about the head's x.
    """
    rotation = face_model.rotation(pose.angle)
    seen = (landmarks - pose.shift[:, None]) * np.exp(-pose.log_scale)[:, None, None]
    flat = seen - depth[:, None] * rotation[:, None, :2, 2]
    return flat @ np.linalg.inv(rotation[:, :2, :2]).swapaxes(1, 2)


def fit_expression(
    landmarks: Float[np.ndarray, "frames 68 2"], pose: Pose, shape: Float[np.ndarray, "68 3"]
) -> Float[np.ndarray, "frames 64"]:
    """Expression coefficients (interocular distances) about a person's neutral shape, at given poses."""
    phi = face_model.modes()[:SCALAR_MODES, :, 0]
    prior = EXPRESSION**2 / face_model.mode_energies()[:SCALAR_MODES]
    gain = prior[:, None] * phi @ np.linalg.inv(noise_covariance() + expression_covariance())
    exp = np.empty((len(landmarks), 2 * SCALAR_MODES))
    for start in range(0, len(landmarks), _CHUNK):
        part = slice(start, start + _CHUNK)
        residual = head_coordinates(landmarks[part], pose.take(part), shape[:, 2]) - shape[:, :2]
        exp[part] = np.einsum("ki,nic->nck", gain, residual).reshape(len(residual), -1)
    return exp


def portrait_expression(neutral_plus_expression: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "64"]:
    """The part of a face's departure from the template (x, y in the head's axes) that usual actions explain.

    Minimises |r - A a|^2 in the metric of the identity prior, (D + N)^-1, plus |a_j / sd_j|^2, over the
    strengths a of `PORTRAIT_ACTIONS`; what is left is identity.
    """
    coefficients = np.stack([face_model.action(name) for name in PORTRAIT_ACTIONS])
    fields = np.tensordot(coefficients, face_model.modes(), axes=1)[..., :2]
    metric = np.linalg.inv(identity_covariance() + noise_covariance())
    weighted = np.einsum("ij,ajc->aic", metric, fields)
    hessian = np.einsum("aic,bic->ab", weighted, fields)
    prior = np.diag([sd**-2.0 for sd in PORTRAIT_ACTIONS.values()])
    strengths = np.linalg.solve(hessian + prior, np.einsum("aic,ic->a", weighted, neutral_plus_expression))
    return strengths @ coefficients


def mean_departure(
    landmarks: Float[np.ndarray, "frames 68 2"], pose: Pose, departure: Float[np.ndarray, "68 3"]
) -> Float[np.ndarray, "68 3"]:
    """A clip's mean departure from the template in 3-D, given poses and the last estimate of it.

    The last estimate gives the robust weights. Per landmark, ridge least squares of uv = s R (T + d)_xy + t
    over the frames: turning heads show depth.
    """
    rotation = face_model.rotation(pose.angle)[:, :2]
    seen = (landmarks - pose.shift[:, None]) * np.exp(-pose.log_scale)[:, None, None]
    left = seen - TEMPLATE @ rotation.swapaxes(1, 2)
    sd = np.sqrt(np.diag(noise_covariance() + expression_covariance()))
    now = (left - departure @ rotation.swapaxes(1, 2)) / sd[:, None]
    weights = huber_weights(np.linalg.norm(now, axis=-1), HUBER) / sd**2 * min(1.0, OBSERVATIONS / len(left))
    hessian = np.einsum("ni,nac,nad->icd", weights, rotation, rotation)
    gradient = np.einsum("ni,nac,nia->ic", weights, rotation, left)
    prior = np.diag([IDENTITY**-2.0, IDENTITY**-2.0, IDENTITY_DEPTH**-2.0])
    return np.linalg.solve(hessian + prior, gradient[..., None])[..., 0]


def without_pose(departure: Float[np.ndarray, "68 3"], pitch: float) -> Float[np.ndarray, "68 3"]:
    """A departure from the template less what a shift, turn or scale of the whole head would look like.

    Orthogonal in the metric of everything that may deform the face, (N + E + D)^-1, but for the prior of the
    mean pitch (rad), which is `pitch` before: then the identity of a clip and its mean pose do not trade
    places from one round of fitting to the next.
    """
    x, y, z = TEMPLATE.T
    zero, one = np.zeros_like(x), np.ones_like(x)
    columns = [(one, zero), (zero, one), (x, y), (-y, x), (z, zero), (zero, -z)]
    tangents = np.stack([np.stack(column, axis=-1) for column in columns])
    metric = np.linalg.inv(noise_covariance() + expression_covariance() + identity_covariance())
    weighted = np.einsum("ij,ajc->aic", metric, tangents)
    hessian = np.einsum("aic,bic->ab", weighted, tangents)
    gradient = np.einsum("aic,ic->a", weighted, departure[:, :2])
    hessian[5, 5] += PITCH**-2
    gradient[5] -= PITCH**-2 * pitch
    share = np.linalg.solve(hessian, gradient)
    flat = departure[:, :2] - np.tensordot(share, tangents, axes=1)
    return np.concatenate([flat, departure[:, 2:]], axis=1)
