"""Rendered motion is found again by the tracker, and the face stays the same person's."""

import numpy as np
import pytest

from lhg_jax.face_model import action
from lhg_jax.faces.identity import distance, embed
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.media import Frame, read_image
from lhg_jax.render.mesh.renderer import MeshRenderer


def motion_of(values, seconds, fps=30):
    """(values, smile): +-12 degrees on every axis at three frequencies, smiles and a blink every 2 s."""
    t = np.arange(int(seconds * fps)) / fps
    rows = np.tile(np.asarray(values, np.float64), (len(t), 1))
    for axis, hertz in enumerate((0.7, 0.45, 0.55)):
        rows[:, 64 + axis] = np.radians(12) * np.sin(2 * np.pi * hertz * t + axis)
    smile = 0.5 - 0.5 * np.cos(2 * np.pi * 0.5 * t)
    blink = np.exp(-(((t % 2 - 1) / 0.08) ** 2))
    rows[:, :64] += smile[:, None] * action("smile") + blink[:, None] * action("blink")
    return rows, smile


def check(portrait, seconds):
    tracker = LandmarkTracker()
    fit = tracker.track_image(portrait)
    rows, smile = motion_of(fit.values, seconds)
    frames = list(MeshRenderer(portrait, fit).render(rows))
    found = tracker.track_video(Frame(i / 30, frame) for i, frame in enumerate(frames))
    assert found.found >= 0.98
    got, want = found.motion.part("angle"), rows[:, 64:67]
    assert (np.degrees(np.abs(got - want)).mean(0) <= 2.5).all()
    assert all(np.corrcoef(got[:, axis], want[:, axis])[0, 1] > 0.9 for axis in range(3))
    assert np.corrcoef(found.motion.part("exp") @ action("smile"), smile)[0, 1] > 0.8
    reference = embed(portrait, fit.landmarks)
    tracked = [(frame, tracker.track_image(frame)) for frame in frames[::4]]
    apart = [distance(embed(frame, face.landmarks), reference) for frame, face in tracked]
    # Full smiles and blinks while turned by 12 degrees on two axes cost most: a real speaker's own frames,
    # turned less, have the quantile 0.38.
    assert np.quantile(apart, 0.95) < 0.4
    assert np.mean(np.array(apart) <= 0.4) >= 0.95


def test_motion_of_an_astronaut_is_found_again():
    import skimage.data

    check(skimage.data.astronaut(), seconds=2.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["happy", "sad", "painting"])
def test_motion_of_a_portrait_is_found_again(shared, name):
    check(read_image(shared / "data" / "real" / f"{name}.png"), seconds=6)
