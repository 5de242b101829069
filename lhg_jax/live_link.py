"""Motion as blendshapes for animators: a csv in the column layout of Epic's Live Link Face app.

Columns: `Timecode` (HH:MM:SS:FF.sss, FF counted at the output's frame rate), `BlendshapeCount`, the 52 names
of ARKit in the app's order, then nine rotations in radians. What a motion of the `landmark` space can say:

    action of the face model   blendshapes (the same amount on both sides)
    smile                      MouthSmile; CheekSquint at 0.4 of it
    blink                      EyeBlink
    jaw_open                   JawOpen
    brow_raise                 BrowInnerUp, BrowOuterUp
    frown                      BrowDown
    lip_press                  MouthPress

Amounts are shares of a full action, cut to [0, 1]; every other blendshape and the eyes' rotations are 0.
Rotations follow ARKit's axes (x to the picture's right, y up, z to the camera), right-handed: HeadPitch > 0
nods down, HeadYaw > 0 turns the nose to the picture's right, HeadRoll > 0 turns counter-clockwise in it.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import LANDMARK, Motion, require_same_space
from lhg_jax.styles import action_amounts
from lhg_jax.util.atomic import replacing

_EYE = ("Blink", "LookDown", "LookIn", "LookOut", "LookUp", "Squint", "Wide")
_MOUTH_PAIRS = ("Smile", "Frown", "Dimple", "Stretch")
_LIP_PAIRS = ("Press", "LowerDown", "UpperUp")


def _both(prefix: str, names: tuple[str, ...]) -> list[str]:
    return [f"{prefix}{name}{side}" for name in names for side in ("Left", "Right")]


BLENDSHAPES = (
    *(f"Eye{name}{side}" for side in ("Left", "Right") for name in _EYE),
    *("JawForward", "JawRight", "JawLeft", "JawOpen"),
    *("MouthClose", "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft"),
    *_both("Mouth", _MOUTH_PAIRS),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *_both("Mouth", _LIP_PAIRS),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"),
    *("CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
ROTATIONS = tuple(
    f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll")
)
HEADER = ("Timecode", "BlendshapeCount", *BLENDSHAPES, *ROTATIONS)

# action -> blendshape -> share
MAPPING: Mapping[str, Mapping[str, float]] = {
    "smile": {
        **dict.fromkeys(("MouthSmileLeft", "MouthSmileRight"), 1.0),
        **dict.fromkeys(("CheekSquintLeft", "CheekSquintRight"), 0.4),
    },
    "blink": dict.fromkeys(("EyeBlinkLeft", "EyeBlinkRight"), 1.0),
    "jaw_open": {"JawOpen": 1.0},
    "brow_raise": dict.fromkeys(("BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"), 1.0),
    "frown": dict.fromkeys(("BrowDownLeft", "BrowDownRight"), 1.0),
    "lip_press": dict.fromkeys(("MouthPressLeft", "MouthPressRight"), 1.0),
}


def blendshapes(motion: Motion) -> dict[str, Float[np.ndarray, "frames"]]:
    """Every column but the first two. Raises `UserError` for another space than `landmark`."""
    require_same_space("the motion", motion.space, "the export to blendshapes", LANDMARK)
    columns = {name: np.zeros(len(motion)) for name in HEADER[2:]}
    for action, amount in action_amounts(motion.part("exp")).items():
        for name, share in MAPPING[action].items():
            columns[name] = np.clip(share * amount, 0, 1)
    pitch, yaw, roll = motion.part("angle").astype(np.float64).T
    return columns | {"HeadYaw": -yaw, "HeadPitch": pitch, "HeadRoll": -roll}


def timecode(seconds: float, fps: float) -> str:
    """SMPTE time with thousandths of a frame; frames are counted at `fps`, whole or not."""
    whole = int(seconds + 1e-9)
    frame = max((seconds - whole) * fps, 0.0)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{frame:06.3f}"


def write_live_link(path: Path, motion: Motion, starts_s: Float[np.ndarray, "shown"], end_s: float) -> None:
    """Writes the csv, atomically, with one row for each frame of the video.

    Args:
      path: of the csv.
      motion: in the `landmark` space.
      starts_s: when each output frame is shown.
      end_s: end of the last one.
    """
    ends = np.append(starts_s[1:], end_s)
    shown = Motion(motion.space, motion.at_times((starts_s + ends) / 2), motion.fps)
    columns = blendshapes(shown)
    fps = 1 / float(np.median(ends - starts_s))
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row, start_s in enumerate(starts_s):
            values = (f"{columns[name][row]:.6f}" for name in HEADER[2:])
            writer.writerow([timecode(float(start_s), fps), len(HEADER) - 2, *values])
