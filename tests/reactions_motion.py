"""A head that nods or shakes when it is told to."""

import numpy as np

from lhg_jax.motion import LANDMARK, Motion

FPS = 30.0


def moving(
    seed: int, axis: int, starts_s: list[float], size_deg: float = 6.0, seconds: float = 30.0
) -> Motion:
    """Three strokes at 2.3 Hz on one axis from each start, with a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * FPS)) / FPS
    values = np.zeros((len(t), LANDMARK.size), np.float32)
    angle = rng.normal(0, 0.02, (len(t), 3)).cumsum(axis=0) * 0.2
    for start_s in starts_s:
        u = t - start_s
        angle[:, axis] += size_deg * np.sin(np.pi * 2.3 * u) ** 2 * ((u > 0) & (u < 3 / 2.3))
    values[:, LANDMARK.slice("angle")] = np.deg2rad(angle)
    return Motion(LANDMARK, values)
