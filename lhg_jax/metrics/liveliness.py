"""How alive a listener looks: how often they nod and blink, how much head and face move."""

import numpy as np
from jaxtyping import Float
from scipy.signal import find_peaks, savgol_filter

from lhg_jax.motion import Motion
from lhg_jax.styles import LEAST_BLINK, action_amounts

NOD_DEG = 3.0  # least prominence of a downward stroke of pitch
STROKE_FRAMES = (2, 18)  # width of a stroke at 30 frames/s
TREND_FRAMES = 45  # of pitch, which is no nod
TOGETHER_S = 0.8  # strokes less than this apart are one nod


def liveliness(motion: Motion) -> dict[str, float]:
    """Figures of one motion in the `landmark` space.

    nods_per_min: of strokes of `NOD_DEG`; blinks_per_min: of half a blink and more; pose_std: norm of the
    three angles' deviations, degrees; speed: mean norm of the angular velocity, degrees/s; exp_departure:
    mean norm of the expression about the clip's mean; smile: 95th above 20th percentile of the smile; jaw:
    the same of the open mouth, 99th above 1st.
    """
    angle = np.rad2deg(motion.part("angle").astype(np.float64))
    smooth = savgol_filter(angle, 5, 2, axis=0) if len(angle) >= 5 else angle
    amounts = action_amounts(motion.part("exp"))
    blink = amounts["blink"] - np.median(amounts["blink"])
    blinks, _ = find_peaks(blink, height=LEAST_BLINK, prominence=0.4, distance=5)
    exp = motion.part("exp") - motion.part("exp").mean(axis=0)
    minutes = len(motion) / motion.fps / 60
    speeds = np.linalg.norm(np.diff(smooth, axis=0) * motion.fps, axis=1)
    return {
        "nods_per_min": count_nods(smooth[:, 0], motion.fps) / minutes,
        "blinks_per_min": len(blinks) / minutes,
        "pose_std": float(np.linalg.norm(angle.std(axis=0))),
        "speed": float(speeds.mean()) if len(speeds) else 0.0,
        "exp_departure": float(np.linalg.norm(exp, axis=1).mean()),
        "smile": float(np.subtract(*np.percentile(amounts["smile"], [95, 20]))),
        "jaw": float(np.subtract(*np.percentile(amounts["jaw_open"], [99, 1]))),
    }


def count_nods(pitch_deg: Float[np.ndarray, "frames"], fps: float) -> int:
    """Nods of a smoothed pitch; positive is down."""
    trend = min(TREND_FRAMES, len(pitch_deg) - 1 + len(pitch_deg) % 2)
    if trend < 3:
        return 0
    bare = pitch_deg - savgol_filter(pitch_deg, trend, 1)
    strokes, _ = find_peaks(bare, prominence=NOD_DEG, distance=6, width=STROKE_FRAMES)
    return 0 if not len(strokes) else 1 + int((np.diff(strokes) > TOGETHER_S * fps).sum())
