"""The landmark tracker on photographs, changed in known ways, and on clips made from them."""

import dataclasses
from collections.abc import Iterator

import cv2
import matplotlib.cbook
import numpy as np
import pytest
from skimage import data

from lhg_jax import face_model, faces, media
from lhg_jax.faces import detection
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.media import Frame
from lhg_jax.motion import LANDMARK, TDDFA
from lhg_jax.util.errors import UserError

ANGLE, EXP = LANDMARK.slice("angle"), LANDMARK.slice("exp")
TRACKER = LandmarkTracker()
BLACK = np.zeros((96, 128, 3), np.uint8)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """Head and shoulders of Eileen Collins, 240 x 240."""
    return np.ascontiguousarray(data.astronaut()[:240, 100:340])


@pytest.fixture(scope="module")
def fit(astronaut):
    return TRACKER.track_image(astronaut)


def transformed(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def clip(images, fps: float = 30.0) -> Iterator[Frame]:
    return (Frame(i / fps, image) for i, image in enumerate(images))


def test_portrait_is_reproduced_by_its_fit(fit):
    np.testing.assert_allclose(face_model.project(fit.anchor, fit.values), fit.landmarks, atol=1e-2)
    assert fit.values.dtype == np.float32 and not fit.values[-3:].any() and not fit.warnings
    assert (np.abs(np.rad2deg(fit.values[ANGLE])) < 6).all()  # she looks into the camera


@pytest.mark.parametrize(
    "degrees, scale, shift", [(10, 1.0, (0, 0)), (-10, 1.0, (0, 0)), (0, 1.2, (0, 0)), (0, 1, (9, 12))]
)
def test_known_transforms_of_a_portrait(astronaut, fit, degrees, scale, shift):
    matrix = cv2.getRotationMatrix2D(fit.landmarks.mean(0).tolist(), -degrees, scale)
    matrix[:, 2] += shift
    moved = TRACKER.track_image(transformed(astronaut, matrix))
    turned = np.rad2deg(moved.values[ANGLE] - fit.values[ANGLE])
    np.testing.assert_allclose(turned, [0, 0, degrees], atol=0.7)
    assert np.log(moved.anchor.scale / fit.anchor.scale) == pytest.approx(np.log(scale), abs=0.02)
    origin_xy = matrix[:, :2] @ fit.anchor.origin_xy + matrix[:, 2]
    np.testing.assert_allclose(moved.anchor.origin_xy, origin_xy, atol=0.05 * moved.anchor.scale)


def test_mirrored_portrait_gives_mirrored_values(astronaut, fit):
    mirrored = TRACKER.track_image(np.ascontiguousarray(astronaut[:, ::-1]))
    expected = face_model.mirror(fit.values)
    np.testing.assert_allclose(np.rad2deg(mirrored.values[ANGLE] - expected[ANGLE]), 0, atol=0.7)
    assert np.abs(mirrored.values[EXP] - expected[EXP]).max() < 0.025


def test_faces_are_numbered_from_the_left(astronaut, fit):
    small = cv2.resize(astronaut, (160, 160))
    pair = np.concatenate([np.pad(small, ((40, 40), (0, 0), (0, 0))), astronaut], axis=1)
    largest = TRACKER.track_image(pair)
    assert largest.warnings == [
        "2 faces found: the largest is taken, --face 1 (counted from the left from 0)"
    ]
    assert largest.landmarks[:, 0].min() > 160
    first = TRACKER.track_image(pair, face=0)
    assert first.landmarks[:, 0].max() < 160 and not first.warnings
    with pytest.raises(UserError, match="no face number 2: 2 found"):
        TRACKER.track_image(pair, face=2)


def test_weak_detections_give_way_to_clear_ones(monkeypatch):
    boxes = [np.array([10.0, 0, 90, 80]), np.array([0.0, 0, 200, 200])]
    monkeypatch.setattr(detection, "_detect", lambda *_: (boxes, [1.0, 0.1]))
    assert [list(box) for box in detection.find_faces(BLACK)] == [list(boxes[0])]
    monkeypatch.setattr(detection, "_detect", lambda *_: (boxes, [0.05, 0.1]))
    assert len(detection.find_faces(BLACK)) == 2


def test_nearest_face_is_like_the_last_in_place_and_size():
    last, shifted, grown = (
        np.array(box, float) for box in ([50, 50, 150, 150], [250, 50, 350, 150], [10, 10, 230, 230])
    )
    near = last + 20
    for boxes in ([shifted, near, grown], [grown, near], [near, shifted]):
        assert detection.nearest(boxes, last) is near
    assert detection.nearest([], last) is None


def test_small_faces_are_found_by_the_fine_search(astronaut):
    image = np.full((400, 400, 3), 127, np.uint8)
    image[100:220, 60:180] = cv2.resize(astronaut, (120, 120), interpolation=cv2.INTER_AREA)
    assert TRACKER.track_image(image).anchor.scale == pytest.approx(21.5, abs=2.0)


def test_small_faces_in_large_photographs(astronaut):
    image = np.full((2000, 3000, 3), 127, np.uint8)
    image[300:420, 2000:2120] = cv2.resize(astronaut, (120, 120), interpolation=cv2.INTER_AREA)
    assert TRACKER.track_image(image).anchor.scale == pytest.approx(21.5, abs=3.0)
    with pytest.raises(UserError, match="in a picture of this size, 35 pixels wide or more"):
        TRACKER.track_image(np.full((2000, 3000, 3), 127, np.uint8))


@pytest.mark.parametrize(
    "image", [np.zeros((16, 16, 3), np.uint8), BLACK, np.full((1, 900, 3), 200, np.uint8)]
)
def test_portraits_without_a_face(image):
    with pytest.raises(UserError, match="no face found"):
        TRACKER.track_image(image)


def test_still_clip_stays_still_and_agrees_with_the_portrait(astronaut, fit):
    rng = np.random.default_rng(0)
    noisy = (
        np.clip(astronaut + rng.normal(size=astronaut.shape) * 4, 0, 255).astype(np.uint8) for _ in range(40)
    )
    calls = []
    video = TRACKER.track_video(clip(noisy), lambda: calls.append(1))
    assert len(calls) == len(video.motion) == 40 and video.found == 1.0 and video.motion.valid.all()
    angle = np.rad2deg(video.motion.part("angle"))
    assert angle.std(0).max() < 0.3
    np.testing.assert_allclose(angle.mean(0), np.rad2deg(fit.values[ANGLE]), atol=1.5)
    assert np.abs(video.motion.part("trans")).max() < 0.05
    assert video.anchor.scale == pytest.approx(fit.anchor.scale, rel=0.03)


def test_a_turning_portrait_is_followed_at_its_own_times(astronaut, fit):
    times_s = np.sort(np.random.default_rng(0).uniform(0, 2, 45))
    centre = fit.landmarks.mean(0).tolist()

    def roll(time_s):
        return 8 * np.sin(2 * np.pi * time_s)

    matrices = [cv2.getRotationMatrix2D(centre, -roll(time_s), 1.0) for time_s in times_s]
    frames = (Frame(float(t), transformed(astronaut, m)) for t, m in zip(times_s, matrices, strict=True))
    motion = TRACKER.track_video(frames).motion
    got = np.rad2deg(motion.part("angle")[:, 2])
    # A frame is shown until the next one comes: half a frame later, on the average, than it was drawn.
    delay_s = np.diff(times_s).mean() / 2
    expected = roll((np.arange(len(motion)) + 0.5) / 30 - delay_s)
    inside = slice(8, -8)
    assert np.corrcoef(got[inside], expected[inside])[0, 1] > 0.98
    assert np.polyfit(expected[inside], got[inside], 1)[0] == pytest.approx(1.0, abs=0.1)


def test_short_loss_is_bridged_with_one_warning(astronaut):
    images = [astronaut] * 10 + [np.zeros_like(astronaut)] * 6 + [astronaut] * 10
    video = TRACKER.track_video(clip(images))
    assert video.warnings == ["the face is lost in 6 of 26 frames, 0.2 s at most: interpolated"]
    np.testing.assert_array_equal(video.motion.valid, [True] * 10 + [False] * 6 + [True] * 10)
    assert np.rad2deg(np.ptp(video.motion.part("angle"), axis=0)).max() < 1.0
    assert video.found == pytest.approx(20 / 26)


def test_long_loss_is_held_and_told(astronaut):
    images = [astronaut] * 10 + [np.zeros_like(astronaut)] * 8 + [astronaut] * 3
    video = TRACKER.track_video(clip(images, fps=5.0))
    expected = "the face is lost in 8 of 21 frames, 1.6 s at most: held still but for the last second"
    assert video.warnings == [expected]
    assert video.motion.valid.sum() == 78


def test_clips_that_show_no_face_or_too_little(astronaut):
    with pytest.raises(UserError, match="no face found in any of 5 frames"):
        TRACKER.track_video(clip([BLACK] * 5))
    with pytest.raises(UserError, match="lost in 6 of 10 frames"):
        TRACKER.track_video(clip([astronaut] * 4 + [np.zeros_like(astronaut)] * 6))
    with pytest.raises(UserError, match="no frames"):
        TRACKER.track_video(iter(()))


def test_one_frame_is_a_clip(astronaut, fit):
    video = TRACKER.track_video(clip([astronaut]))
    assert len(video.motion) == 1
    np.testing.assert_allclose(np.rad2deg(video.motion.values[0, ANGLE] - fit.values[ANGLE]), 0, atol=2.0)


def test_late_first_frame_is_not_valid_before(astronaut):
    frames = [Frame(1.0 + i / 30, astronaut) for i in range(4)]
    motion = TRACKER.track_video(frames).motion
    assert len(motion) == 34 and motion.valid.tolist() == [False] * 30 + [True] * 4
    np.testing.assert_array_equal(motion.values[0], motion.values[29])


def test_the_same_face_is_followed_when_another_grows(astronaut, fit):
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        other = media.read_image(file.name)[:420, 60:480]
    small, large = (cv2.resize(other, (side, side), interpolation=cv2.INTER_AREA) for side in (150, 240))
    first = np.concatenate([np.pad(small, ((45, 45), (45, 45), (0, 0))), astronaut], axis=1)
    later = np.concatenate([large, astronaut], axis=1)
    assert TRACKER.track_image(later).anchor.origin_xy[0] < 240  # alone, it would be the other one
    video = TRACKER.track_video(clip([first] * 3 + [np.zeros_like(first)] + [later] * 3))
    assert video.warnings[0] == "2 faces found: the largest is followed"
    np.testing.assert_allclose(video.anchor.origin_xy, fit.anchor.origin_xy + np.array([240, 0]), atol=3.0)
    assert np.abs(video.motion.part("trans")).max() < 0.1


def test_smile_of_one_person(shared):
    happy, sad = (
        TRACKER.track_image(media.read_image(shared / "data/real" / name)).values[EXP]
        for name in ("happy.png", "sad.png")
    )
    smile = face_model.action("smile")
    assert (happy - sad) @ smile / (smile @ smile) > 0.4


def test_real_clip_is_reproduced(shared):
    frames = [
        frame
        for frame, _ in zip(media.read_frames(shared / "data/real/speaker_a.mp4"), range(30), strict=False)
    ]
    video = TRACKER.track_video(frames)
    assert video.found == 1.0 and not video.warnings
    values = video.motion.at_times([frame.time_s + 0.02 for frame in frames])
    seen = np.stack([TRACKER.track_image(frame.image).landmarks for frame in frames[5:25:6]])
    error = np.linalg.norm(face_model.project(video.anchor, values[5:25:6]) - seen, axis=-1)
    assert np.median(error) < 0.02 * video.anchor.scale


def test_registry_names_the_spaces():
    assert faces.get_tracker(LANDMARK).space == LANDMARK
    with pytest.raises(UserError, match=r"'other' \(known: landmark"):
        faces.get_tracker(dataclasses.replace(TDDFA, name="other"))
