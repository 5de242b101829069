"""A face through pictures at a camera's pace: no jump when it is lost, found again, or known better."""

import numpy as np
import pytest

from lhg_jax import face_model
from lhg_jax.face_model import FaceAnchor
from lhg_jax.live import face as module
from lhg_jax.live.face import LiveFace
from lhg_jax.motion import LANDMARK

ANGLE = LANDMARK.slice("angle")
IMAGE = np.zeros((240, 320, 3), np.uint8)


class Camera:
    """Stands in for detector and landmarks: shows a person's motion, or nobody."""

    def __init__(self, monkeypatch, seed=0):
        identity = np.random.default_rng(seed).normal(0, 0.03, (68, 3))
        self.person = FaceAnchor(np.array([160.0, 120.0]), 40.0, identity)
        self.values = np.zeros(70)
        self.present = True
        monkeypatch.setattr(module.detection, "find_near", lambda image, box: self._box())
        monkeypatch.setattr(module.detection, "find_faces", lambda image, sides: [self._box()] * self.present)
        monkeypatch.setattr(module.alignment, "align", lambda image, box, how: self._landmarks())

    def _box(self):
        return np.array([100.0, 60.0, 220.0, 180.0]) if self.present else None

    def _landmarks(self):
        return face_model.project(self.person, self.values)


def run(live, camera, seconds, move):
    """Relative motion and whether there is any, of frames at 30/s with a picture to every second one."""
    rows = []
    for frame in range(round(30 * seconds)):
        camera.values = move(frame / 30)
        if frame % 2 == 0:
            live.push(IMAGE)
        rows.append(live.follow())
    values, seen = zip(*rows, strict=True)
    return np.stack(values), np.array(seen)


def turning(time_s):
    values = np.zeros(70)
    values[ANGLE.start + 1] = 0.15 * np.sin(2 * np.pi * 0.3 * time_s)
    return values


@pytest.fixture
def camera(monkeypatch):
    return Camera(monkeypatch)


def test_follows_a_turn(camera):
    values, seen = run(LiveFace(), camera, 8, turning)
    assert seen.all()
    yaw = values[60:, ANGLE.start + 1]
    assert 0.1 < np.ptp(yaw) / 2 < 0.25
    wanted = np.sin(2 * np.pi * 0.3 * np.arange(60, 240) / 30)
    assert np.corrcoef(yaw, wanted)[0, 1] > 0.95


def test_a_face_that_holds_still_does_not_move(camera):
    values, _ = run(LiveFace(), camera, 3, lambda time_s: turning(0.7))
    assert np.abs(values).max() < 0.02


def test_lost_and_found_again_without_a_jump(camera):
    live = LiveFace()
    before, _ = run(live, camera, 5.3, turning)
    camera.present = False
    away, seen = run(live, camera, 4, turning)
    camera.present = True
    after, _ = run(live, camera, 4, turning)
    assert seen[:30].all() and not seen[60:].any()
    steps = np.abs(np.diff(np.concatenate([before, away, after]), axis=0)).max(axis=1)
    assert steps[10:].max() < 2.5 * np.abs(np.diff(before[60:], axis=0)).max()


def test_another_person_is_met_anew(camera):
    live = LiveFace()
    run(live, camera, 3, turning)
    camera.present = False
    run(live, camera, 4, turning)
    camera.present, camera.person = True, FaceAnchor(np.array([60.0, 100.0]), 25.0, camera.person.identity)
    values, seen = run(live, camera, 3, lambda time_s: turning(0.0))
    assert seen.any() and np.abs(values).max() < 0.05


def test_nobody_is_seen_at_first(camera):
    camera.present = False
    values, seen = run(LiveFace(), camera, 1, turning)
    assert not seen.any() and not values.any()
