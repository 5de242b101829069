"""A face tracker that takes the brightness of a picture for every coefficient, and finds a face in all."""

import numpy as np

from lhg_jax.faces.tracking_result import VideoFit
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.util.errors import UserError


class Brightness:
    """Stands in for `faces.landmark.LandmarkTracker`."""

    space = LANDMARK

    def track_video(self, frames, on_frame=None) -> VideoFit:
        rows = [(frame.time_s, frame.image.mean() / 255) for frame in frames]
        if not rows:
            raise UserError("no frames to find a face in")
        times_s, levels = np.array(rows).T
        step_s = np.median(np.diff(times_s)) if len(times_s) > 1 else 1 / 30
        at_s = (np.arange(int(np.ceil((times_s[-1] + step_s) * 30 - 1e-6))) + 0.5) / 30
        shown = np.clip(np.searchsorted(times_s, at_s, side="right") - 1, 0, None)
        values = np.repeat(levels[shown, None], LANDMARK.size, axis=1).astype(np.float32)
        return VideoFit(Motion(LANDMARK, values), 1.0, [])


def load(weights=None) -> Brightness:
    return Brightness()
