"""LivePortrait's motion: 21 keypoints in 3-D, and the pose, expression, scale and shift that move them.

Guo et al., *LivePortrait*, arXiv 2407.03168. x is right, y down, z into the picture; -1 to 1 spans the square
crop. Vectors are rows: x = scale (kp R + exp) + (t_x, t_y, 0), so that R is the transpose of
`face_model.rotation`. The expression is added after the turn: it lives in the picture's axes.
"""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull

from lhg_jax import face_model

KEYPOINTS = 21
BIN_DEG, FIRST_DEG = 3.0, -97.5  # an angle is a mean over bins 3 degrees apart

Points = Float[np.ndarray, "frames 21 3"]
Still = Float[np.ndarray, "1 21 3"]  # of the portrait


def degrees(logits: Float[np.ndarray, "*batch 66"]) -> Float[np.ndarray, "*batch"]:
    """The angle that the motion extractor's 66 logits stand for."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return BIN_DEG * (weights @ np.arange(logits.shape[-1], dtype=logits.dtype)) + FIRST_DEG


def rotation(pose_deg: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """R for row vectors, of (pitch, yaw, roll) in degrees, signs as in `face_model.rotation`."""
    return np.swapaxes(face_model.rotation(np.deg2rad(pose_deg)), -1, -2)


@dataclasses.dataclass(frozen=True)
class Face:
    """One face in F frames, as the motion extractor measures it.

    Attributes:
      kp: [F, 21, 3] keypoints of the person, at rest.
      rotation: [F, 3, 3] for row vectors.
      exp: [F, 21, 3] expression.
      scale: [F, 1].
      t: [F, 3]; t_z has no effect.
    """

    kp: np.ndarray
    rotation: np.ndarray
    exp: np.ndarray
    scale: np.ndarray
    t: np.ndarray

    def __len__(self) -> int:
        return len(self.exp)

    def __getitem__(self, frames: slice) -> "Face":
        return Face(**{field.name: getattr(self, field.name)[frames] for field in dataclasses.fields(self)})

    def points(self) -> Points:
        """The keypoints in the crop."""
        shift = self.t * np.array([1, 1, 0], self.t.dtype)
        return self.scale[..., None] * (self.kp @ self.rotation + self.exp) + shift[:, None]


def measure(outputs: dict[str, np.ndarray]) -> Face:
    """The face that the motion extractor's outputs describe."""
    pose_deg = np.stack([degrees(outputs[name]) for name in ("pitch", "yaw", "roll")], axis=-1)
    exp, kp = (outputs[name].reshape(-1, KEYPOINTS, 3) for name in ("exp", "kp"))
    turn = rotation(pose_deg).astype(np.float32)
    return Face(kp=kp, rotation=turn, exp=exp, scale=outputs["scale"], t=outputs["t"])


def eye_ratios(landmarks: Float[np.ndarray, "*batch points 2"]) -> Float[np.ndarray, "*batch 2"]:
    """How far the eyes are open: lid distance over width, the picture's left eye first.

    From the original's 203 landmarks (the retargeting networks were trained with these) or from 68.
    """
    if landmarks.shape[-2] == 203:
        return np.stack([_ratio(landmarks, 6, 18, 0, 12), _ratio(landmarks, 30, 42, 24, 36)], axis=-1)
    pairs = ((37, 41, 36, 39), (38, 40, 36, 39)), ((43, 47, 42, 45), (44, 46, 42, 45))
    return np.stack([sum(_ratio(landmarks, *p) for p in eye) / 2 for eye in pairs], axis=-1)


def lip_ratio(landmarks: Float[np.ndarray, "*batch points 2"]) -> Float[np.ndarray, "*batch 1"]:
    """How far the lips are open: inner lip distance over the mouth's width; landmarks as for `eye_ratios`."""
    points = (90, 102, 48, 66) if landmarks.shape[-2] == 203 else (62, 66, 48, 54)
    return _ratio(landmarks, *points)[..., None]


def _ratio(landmarks: np.ndarray, upper: int, lower: int, left: int, right: int) -> np.ndarray:
    height = np.linalg.norm(landmarks[..., upper, :] - landmarks[..., lower, :], axis=-1)
    width = np.linalg.norm(landmarks[..., left, :] - landmarks[..., right, :], axis=-1)
    return np.asarray(height / (width + 1e-6))


def hull_ratio(first: Float[np.ndarray, "21 3"], second: Float[np.ndarray, "21 3"]) -> float:
    """Square root of the volume of `first`'s convex hull over that of `second`'s."""
    return float(np.sqrt(ConvexHull(first).volume / ConvexHull(second).volume))


def smooth(path: Float[np.ndarray, "frames size"], noise: float = 3e-7) -> Float[np.ndarray, "frames size"]:
    """Each column's random walk, freed from measuring noise by a Kalman smoother.

    Args:
      path: measured values.
      noise: variance of a measurement; a step of the walk has the variance 1e-5.
    """
    step = 1e-5
    predicted, filtered, before, after = [], [], [], []
    mean, variance = path[0].astype(np.float64), 1.0
    for value in path.astype(np.float64):
        predicted.append(mean)
        before.append(variance)
        gain = variance / (variance + noise)
        mean, variance = mean + gain * (value - mean), (1 - gain) * variance
        filtered.append(mean)
        after.append(variance)
        variance += step
    smoothed = [filtered[-1]]
    for i in range(len(path) - 2, -1, -1):
        back = after[i] / before[i + 1]
        smoothed.append(filtered[i] + back * (smoothed[-1] - predicted[i + 1]))
    return np.stack(smoothed[::-1]).astype(path.dtype)
