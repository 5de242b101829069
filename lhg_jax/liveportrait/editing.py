"""LivePortrait's sliders: what a smile, a wink or a raised brow adds to the expression of the 21 keypoints.

The offsets are those of the published program's retargeting page; "blink" is that of AdvancedLivePortrait
(MIT), whose one slider shuts both eyes.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from lhg_jax.liveportrait.keypoints import KEYPOINTS, Face, Points, rotation

_AXES = {"x": 0, "y": 1, "z": 2}
# Slider -> {"keypoint.axis": change for a unit}. `_up`, `_down`, `_right` and `_left` are for one sign only.
OFFSETS: dict[str, dict[str, float]] = {
    "smile": {
        **{"20.y": -0.01, "14.y": -0.02, "17.y": 0.0065, "17.z": 0.003},
        **{"13.y": -0.00275, "16.y": -0.00275, "3.y": -0.0035, "7.y": -0.0035},
    },
    "wink": {"11.y": 0.001, "13.y": -0.0003, "17.x": 0.0003, "17.y": 0.0003, "3.y": -0.0003},
    "blink": {"11.y": 0.001, "15.y": 0.001, "13.y": -0.0003, "16.y": -0.0003},
    "brows_up": {"1.y": 0.001, "2.y": -0.001},
    "brows_down": {"1.x": -0.001, "2.x": 0.001, "1.y": 0.0003, "2.y": -0.0003},
    "gaze_right": {"11.x": 0.0007, "15.x": 0.001},
    "gaze_left": {"11.x": 0.001, "15.x": 0.0007},
    "gaze_up": {"11.y": -0.0005, "15.y": -0.0005, "13.y": -0.00015, "16.y": -0.00015},
    "pout": {"19.x": 1.0},
    "purse": {"14.y": 0.001, "3.y": -0.0005, "7.y": -0.0005, "17.z": -0.0005},
    "grin": {"20.z": -0.001, "20.y": -0.001, "14.y": -0.001},
    "lips_open": {"19.y": 0.001, "19.z": 0.0001, "17.y": -0.0001},
}


def offset(slider: str, amount: float) -> Float[np.ndarray, "21 3"]:
    """What one of `OFFSETS` at this setting adds to the expression. Raises KeyError for other names."""
    field = np.zeros((KEYPOINTS, 3), np.float32)
    for place, change in OFFSETS[slider].items():
        keypoint, axis = place.split(".")
        field[int(keypoint), _AXES[axis]] = change * amount
    return field


@dataclasses.dataclass(frozen=True)
class Edit:
    """Settings of the sliders, 0 = unchanged.

    Attributes:
      smile: -0.3 to 1.3.
      wink: 0 to 39, the picture's left eye.
      brows: -30 (frown) to 30 (raised).
      gaze_x, gaze_y: -30 to 30 (the picture's right), -63 to 63 (up).
      pout, purse, grin, lips_open: +-0.09, -20 to 15, 0 to 15, -90 to 120.
      pitch_deg, yaw_deg, roll_deg: added to the pose.
      move_x, move_y, zoom: +-0.19 of the crop's half width; factor on the scale.
    """

    smile: float = 0.0
    wink: float = 0.0
    brows: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    pout: float = 0.0
    purse: float = 0.0
    grin: float = 0.0
    lips_open: float = 0.0
    pitch_deg: float = 0.0
    yaw_deg: float = 0.0
    roll_deg: float = 0.0
    move_x: float = 0.0
    move_y: float = 0.0
    zoom: float = 1.0

    def expression(self) -> Float[np.ndarray, "21 3"]:
        """What the settings add to the expression."""
        plain = ("smile", "wink", "pout", "purse", "grin", "lips_open")
        return (
            sum((offset(name, getattr(self, name)) for name in plain), np.zeros((KEYPOINTS, 3), np.float32))
            + offset("brows_up" if self.brows > 0 else "brows_down", self.brows)
            + offset("gaze_right" if self.gaze_x > 0 else "gaze_left", self.gaze_x)
            + offset("gaze_up", self.gaze_y)
        )


def edit(source: Face, pose_deg: Float[np.ndarray, "1 3"], settings: Edit) -> Points:
    """Keypoints of the source with these settings; unlike in driving, t_z counts.

    Args:
      source: one frame.
      pose_deg: its pitch, yaw and roll.
      settings: of the sliders.
    """
    turn = rotation(pose_deg + np.array([[settings.pitch_deg, settings.yaw_deg, settings.roll_deg]]))
    exp = source.exp + settings.expression()
    exp[:, 5] += np.array([-settings.move_x, settings.move_y, 0], np.float32)
    scale = source.scale[..., None] * np.float32(settings.zoom)
    return scale * (source.kp @ turn.astype(np.float32) + exp) + source.t[:, None]
