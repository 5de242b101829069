import itertools

import numpy as np
import pytest
from features_test import random_clip

from lhg_jax.contract import InferenceSpec
from lhg_jax.windowed_inference import crossfade, generate, window_starts

SPEC = InferenceSpec(window=90, overlap=30, max_words=64)


@pytest.mark.parametrize("frames", [1, 30, 90, 91, 119, 150, 151, 1000])
def test_windows_cover_every_frame_and_overlap(frames):
    starts = window_starts(frames, 90, 30)
    assert starts[0] == 0 and starts[-1] + 90 >= frames and starts[-1] + 90 <= max(frames, 90)
    assert all(b > a and a + 90 - b >= 30 for a, b in itertools.pairwise(starts))


def test_crossfade_is_symmetric_and_rises():
    fade = crossfade(30)[:, 0]
    np.testing.assert_allclose(fade + fade[::-1], 1, atol=1e-6)
    assert (np.diff(fade) > 0).all() and fade[0] > 0


@pytest.mark.parametrize("frames", [1, 17, 90, 91, 240, 601])
def test_windows_that_agree_are_blended_to_the_same_motion(frames):
    clip = random_clip(frames, 30)

    def predict(window, first_frame):
        motion = window.speaker_motion.copy()  # the same wherever the window starts
        motion[0] = first_frame
        return motion

    motion = generate(predict, clip, clip.speaker_motion[0], SPEC)
    np.testing.assert_allclose(motion, clip.speaker_motion, atol=1e-6)


def test_no_jump_at_seams():
    clip = random_clip(1000, 30)
    rng = np.random.default_rng(1)

    def predict(
        window, first_frame
    ):  # drifts in a direction of its own: neighbours disagree as much as they can
        drift = rng.normal(size=first_frame.shape).astype(np.float32)
        return first_frame + np.linspace(0, 1, 90, dtype=np.float32)[:, None] * drift

    motion = generate(predict, clip, clip.speaker_motion[0], SPEC)
    steps = np.linalg.norm(np.diff(motion, axis=0), axis=1)
    one_window = np.sqrt(clip.speaker_motion.shape[1]) / 89  # expected step inside a window
    assert steps.max() < 8 * one_window
    np.testing.assert_array_equal(motion[0], clip.speaker_motion[0])


def remembering(window, first_frame):
    """Takes the first frames for the faces at rest; its answer is not linear in the speaker's change."""
    return first_frame + np.tanh(window.speaker_motion - window.speaker_motion[0])


@pytest.mark.parametrize("frames", [91, 240, 601])
def test_a_predictor_that_remembers_its_first_frame_does_not_drift(frames):
    clip, first_frame = random_clip(frames, 30), np.random.default_rng(2).normal(size=70).astype(np.float32)
    motion = generate(remembering, clip, first_frame, SPEC)
    np.testing.assert_allclose(
        motion, first_frame + np.tanh(clip.speaker_motion - clip.speaker_motion[0]), atol=1e-5
    )


def test_the_clip_is_left_as_it_was():
    clip = random_clip(240, 30)
    before = clip.speaker_motion.copy()
    generate(remembering, clip, clip.speaker_motion[0], SPEC)
    np.testing.assert_array_equal(clip.speaker_motion, before)
