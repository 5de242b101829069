"""Pictures of a listener in training: what is on them, and that none is lost without a word."""

import threading
import time

import numpy as np
import pytest

from lhg_jax import sample_clips
from lhg_jax.face_model import action
from lhg_jax.motion import LANDMARK, TDDFA
from lhg_jax.training import logs
from lhg_jax.training.visualise import LEAST_DEG, SamplePictures, curves, panels, shown


class Board(logs.NullWriter):
    def __init__(self):
        self.images = {}

    def image(self, step, name, image):
        self.images[step, name] = image


def motions(frames=30):
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.1, (2, frames, LANDMARK.size)).astype(np.float32)


def sheet(video, predicted, target, space):
    return np.full((4, 6, 3), len(target), np.uint8)


def test_clips_are_drawn_in_the_background(tmp_path):
    board = Board()
    with SamplePictures(tmp_path, board, sheet) as pictures:
        pictures.show(7, *motions(), LANDMARK)
    assert (board.images[7, "sample/frames"] == 30).all()
    assert board.images[7, "sample/curves"].shape[2] == 3


def test_the_last_picture_waits_and_others_are_named(tmp_path, capsys):
    board, go = Board(), threading.Event()

    def slow(video, predicted, target, space):
        go.wait(10)
        return sheet(video, predicted, target, space)

    with SamplePictures(tmp_path, board, slow) as pictures:
        pictures.show(1, *motions(), LANDMARK)
        pictures.show(2, *motions(), LANDMARK)
        go.set()
        pictures.show(3, *motions(), LANDMARK, last=True)
    assert {step for step, _ in board.images} == {1, 3}
    assert "no picture of step 2: the one before is still being drawn" in capsys.readouterr().err


def test_who_waits_at_the_end_is_told(tmp_path, capsys):
    ending = threading.Event()

    def slow(video, predicted, target, space):
        ending.wait(10)
        time.sleep(0.1)
        return sheet(video, predicted, target, space)

    with SamplePictures(tmp_path, Board(), slow) as pictures:
        pictures.show(1, *motions(), LANDMARK)
        ending.set()
    assert capsys.readouterr().err == "drawing the last pictures (nothing else is left to do)\n"


def test_an_error_in_any_picture_is_said(tmp_path, capsys):
    def broken(video, predicted, target, space):
        raise ZeroDivisionError(str(video.name))

    with SamplePictures(tmp_path, Board(), broken) as pictures:
        for step in (1, 2):
            pictures.show(step, *motions(), LANDMARK, last=True)
    said = capsys.readouterr().err
    assert "ZeroDivisionError('step_000001.mp4')" in said and "ZeroDivisionError('step_000002.mp4')" in said


def test_what_cannot_be_drawn_is_said_once(tmp_path, capsys):
    def missing(video, predicted, target, space):
        raise ImportError("no renderer here")

    board = Board()
    with SamplePictures(tmp_path, board, missing) as pictures:
        for step in (1, 2):
            pictures.show(step, *motions(), LANDMARK, last=True)
    assert capsys.readouterr().err.count("no frames of sample clips: no renderer here") == 1
    assert (2, "sample/curves") in board.images


def test_curves_have_the_names_that_people_use():
    motion = np.zeros((20, LANDMARK.size), np.float32)
    motion[5, LANDMARK.slice("exp")] = action("smile")
    motion[7, LANDMARK.slice("angle")] = np.deg2rad([10.0, 0.0, 0.0])
    rows = shown(motion, LANDMARK)
    assert list(rows) == ["pitch, °", "yaw, °", "roll, °", "smile, share", "blink, share"]
    assert rows["pitch, °"][7] == pytest.approx(10) and rows["smile, share"][5] == pytest.approx(1, abs=0.01)
    assert dict(panels(rows))["pitch, °"] == LEAST_DEG
    assert "expression 0" in shown(np.zeros((20, TDDFA.size), np.float32), TDDFA)
    a, b = motions()
    assert not np.array_equal(curves(a, b, LANDMARK, "x"), curves(a + 0.1, b, LANDMARK, "x"))


def test_the_sheet_shows_the_largest_excursions():
    motion = np.zeros((90, LANDMARK.size), np.float32)
    motion[[20, 60], 65] = 1.0, 0.5
    motion[22, 65] = 0.9  # too near to the first
    frames = sample_clips.moments(motion)
    assert {20, 60} <= set(frames) and 22 not in frames and frames == sorted(frames)
    motion[40:80, :64] = np.random.default_rng(1).normal(size=(40, 64))  # a lively face hides no nod
    assert {20, 60} <= set(sample_clips.moments(motion))
    true = np.random.default_rng(0).integers(0, 255, (90, 8, 10, 3), dtype=np.uint8)
    pictures = sample_clips.sheet(true, true, [20, 60])
    assert pictures.shape == (2 * (8 + 16), 30, 3)
    np.testing.assert_array_equal(pictures[16:24, :10], true[20])
    assert (pictures[16:24, 20:] == 128).all()
