"""A motion in the space `liveportrait` as LivePortrait's pose and expression, relative to the portrait."""

import dataclasses

import numpy as np
from jaxtyping import Float

from lhg_jax.liveportrait.crop import Box
from lhg_jax.liveportrait.keypoints import KEYPOINTS, Face
from lhg_jax.motion import LIVEPORTRAIT
from lhg_jax.render.liveportrait.from_landmarks import in_plane, turned


@dataclasses.dataclass(frozen=True)
class NativeDriver:
    """Moves one portrait's face by motions in `motion.LIVEPORTRAIT`.

    The tracker's crop stands upright in the picture, the renderer's turns with the face: changes of
    expression and place are turned with it.

    Attributes:
      source: the portrait as the motion extractor measures it in the renderer's crop, one frame.
      box: the renderer's crop.
      reference: [70] the portrait as one frame of motion.
    """

    source: Face
    box: Box
    reference: Float[np.ndarray, "70"]

    def __call__(self, values: Float[np.ndarray, "frames 70"]) -> Face:
        """The face in each frame of `values`."""
        change = {
            part.name: (values - self.reference)[:, LIVEPORTRAIT.slice(part.name)]
            for part in LIVEPORTRAIT.parts
        }
        plane = in_plane(self.box)
        exp = change["exp"].reshape(-1, KEYPOINTS, 3).copy()
        exp[..., :2] = exp[..., :2] @ plane.T
        t = np.repeat(self.source.t, len(values), axis=0).astype(np.float64)
        t[:, :2] += change["trans"][:, :2] @ plane.T
        turn = turned(
            self.source, self.reference[LIVEPORTRAIT.slice("angle")], values[:, LIVEPORTRAIT.slice("angle")]
        )
        scale = self.source.scale * np.exp(change["scale"])
        faces = Face(self.source.kp, turn, self.source.exp + exp, scale, t)
        return dataclasses.replace(faces, **{k: v.astype(np.float32) for k, v in vars(faces).items()})

    def lip_closing(self, values: Float[np.ndarray, "frames 70"]) -> Float[np.ndarray, "frames"]:
        """None: the expression itself shuts the lips."""
        return np.zeros(len(values))
