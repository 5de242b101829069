"""Keypoints, driving, sliders, crop and paste back against recordings of the published program."""

import cv2
import numpy as np
import pytest
from liveportrait_recordings import correctors, recorded, source_of
from stage_files import assert_close

from lhg_jax.liveportrait import crop, driving, editing, keypoints
from lhg_jax.liveportrait.keypoints import Face

TOLERANCE = 3e-6  # of the largest value, as the recordings' notes say


@pytest.fixture(scope="module")
def functions(shared):
    return recorded(shared, "functions")


@pytest.fixture(scope="module")
def drive_case(shared):
    """(arrays, source, driver of four frames, correcting networks)."""
    data = recorded(shared, "driving")
    source, _ = source_of(data)
    driver = Face(
        source.kp,
        keypoints.rotation(data["in_driver_pose_deg"]),
        data["in_driver_exp"],
        data["in_driver_scale"],
        data["in_driver_t"],
    )
    return data, source, driver, correctors(shared)


def test_pose_keypoints_and_ratios(functions):
    f = functions
    assert_close(keypoints.degrees(f["in_logits"]), f["out_degree"], TOLERANCE)
    assert_close(keypoints.rotation(f["in_pose_deg"]), f["out_rotation"], TOLERANCE)
    turn = keypoints.rotation(f["in_kp_pose_deg"])
    points = Face(f["in_kp"], turn, f["in_exp"], f["in_scale"], f["in_t"]).points()
    assert_close(points, f["out_x"], TOLERANCE)
    assert_close(driving.pairs(points[:1], points[1:2]), f["out_feature_stitching"], TOLERANCE)
    assert_close(keypoints.eye_ratios(f["in_landmarks203"]), f["out_eye_ratio"], TOLERANCE)
    assert_close(keypoints.lip_ratio(f["in_landmarks203"]), f["out_lip_ratio"], TOLERANCE)
    assert_close(np.array(keypoints.hull_ratio(points[0], points[1])), f["out_multiplier"], TOLERANCE)


@pytest.mark.parametrize(("noise", "name"), [(3e-7, "path_smooth"), (1e-5, "path_smooth_1em5")])
def test_smoothing(functions, noise, name):
    assert_close(keypoints.smooth(functions["in_path"], noise), functions[f"out_{name}"], TOLERANCE)


@pytest.mark.parametrize("region", ["all", "exp", "pose", "lip", "eyes"])
@pytest.mark.parametrize("mode", ["rel", "abs"])
def test_driving_of_each_region(drive_case, mode, region):
    data, source, driver, networks = drive_case
    driven = driving.drive(source, driver, relative=mode == "rel", region=region)
    if region == "all":
        assert_close(driven, data[f"out_x_{mode}_all_nostitch"], TOLERANCE)
    stitched = driving.stitch(source.points(), driven, networks.stitching)
    assert_close(stitched, data[f"out_x_{mode}_{region}"], TOLERANCE)


@pytest.mark.parametrize("region", ["all", "exp", "lip", "eyes"])
def test_driving_by_one_picture(drive_case, region):
    data, source, driver, networks = drive_case
    neutral = np.zeros((21, 3), np.float32) if region == "eyes" else data["in_lip_array"][0]
    driven = driving.drive(source, driver[:1], region=region, neutral=neutral)
    stitched = driving.stitch(source.points(), driven, networks.stitching)
    assert_close(stitched, data[f"out_x_image_rel_{region}"], TOLERANCE)


def test_closed_lips_and_amplified_driving(drive_case):
    data, source, driver, networks = drive_case
    still, driven = source.points(), driving.drive(source, driver)
    stitched = driving.stitch(still, driven, networks.stitching)
    own = keypoints.lip_ratio(data["in_source_landmarks203"])
    closed = driving.close_lips(still, own, networks.lip)
    assert_close(stitched + closed, data["out_x_rel_all_lipnorm"], TOLERANCE)
    assert not driving.close_lips(still, np.array([0.02], np.float32), networks.lip).any()
    assert_close(driving.amplify(still, stitched, 1.5), data["out_x_rel_all_times1_5"], TOLERANCE)


def test_eyes_and_lips_as_asked(drive_case):
    data, source, driver, networks = drive_case
    still = source.points()
    own = [
        keypoints.eye_ratios(data["in_source_landmarks203"]),
        keypoints.lip_ratio(data["in_source_landmarks203"]),
    ]
    wanted = [data["in_driver_c_eyes"][:, 0, :1], data["in_driver_c_lip"][:, 0]]
    ratios = [np.concatenate([np.tile(o, (4, 1)), w], axis=1) for o, w in zip(own, wanted, strict=True)]
    eyes = driving.retarget(still, ratios[0], networks.eye)
    lips = driving.retarget(still, ratios[1], networks.lip)
    assert_close(still + eyes + lips, data["out_x_rel_eye_lip_retarget_nostitch"], TOLERANCE)
    absolute = driving.drive(source, driver, relative=False) + eyes + lips
    stitched = driving.stitch(still, absolute, networks.stitching)
    assert_close(stitched, data["out_x_abs_eye_lip_retarget"], TOLERANCE)


FIELDS = {
    **{"input_head_pitch_variation": "pitch_deg", "input_head_yaw_variation": "yaw_deg"},
    **{"input_head_roll_variation": "roll_deg", "mov_x": "move_x", "mov_y": "move_y", "mov_z": "zoom"},
    **{"lip_variation_zero": "pout", "lip_variation_one": "purse", "lip_variation_two": "grin"},
    **{"lip_variation_three": "lips_open", "smile": "smile", "wink": "wink", "eyebrow": "brows"},
    **{"eyeball_direction_x": "gaze_x", "eyeball_direction_y": "gaze_y"},
}


def test_every_slider(shared):
    data = recorded(shared, "editing")
    source, pose_deg = source_of(data)
    networks, still = correctors(shared), source.points()
    eyes, lips = (f(data["in_source_landmarks203"]) for f in (keypoints.eye_ratios, keypoints.lip_ratio))
    names = [str(name) for name in data["in_slider_names"]]
    for setting, row in zip(data["in_setting_names"], data["in_sliders"], strict=True):
        values = dict(zip(names, map(float, row), strict=True))
        chosen = editing.Edit(**{FIELDS[name]: values[name] for name in FIELDS})
        points = editing.edit(source, pose_deg, chosen)
        for own, name, network in ((eyes, "eye", networks.eye), (lips, "lip", networks.lip)):
            wanted = values[f"input_{name}_ratio"]  # nan: the source's own, at which nothing is corrected
            if np.isfinite(wanted):
                points = points + driving.retarget(still, np.array([[*own, wanted]], np.float32), network)
        assert_close(points, data[f"out_x_nostitch_{setting}"], TOLERANCE)
        stitched = driving.stitch(still, points, networks.stitching)
        assert_close(stitched, data[f"out_x_{setting}"], TOLERANCE)


@pytest.mark.parametrize("name", ["68", "68_turned", "203", "106"])
def test_boxes(functions, name):
    landmarks = functions[f"in_landmarks{name}"]
    landmarks = landmarks[1] if name == "203" else landmarks
    for tag, size, scale, up in (("source", 512, 2.3, -0.125), ("landmark", 224, 1.5, -0.1)):
        box = crop.box(landmarks, scale, up)
        found = np.array([*box.centre, box.side, box.side, box.angle])
        np.testing.assert_allclose(found, functions[f"out_rect_{name}_{tag}"], atol=1e-4)
        # The original takes its angle from a float32 arc cosine.
        np.testing.assert_allclose(box.matrix(size), functions[f"out_M_{name}_{tag}"], atol=5e-3)
    upright = crop.box(landmarks, 2.3, -0.125, turned=False)
    np.testing.assert_allclose(upright.matrix(512), functions[f"out_M_{name}_norot"], atol=1e-4)


def test_cut_and_paste_back(functions):
    picture, matrix = functions["in_portrait_uint8"], functions["out_M_o2c"][:2]
    square = crop.cut(picture, matrix, border=cv2.BORDER_CONSTANT)
    np.testing.assert_array_equal(square[::4, ::4], functions["out_crop512_sub4"])
    np.testing.assert_array_equal(crop.halve(square), functions["out_crop256"])
    np.testing.assert_array_equal(crop.border_mask()[::8, ::8], functions["out_mask_template_sub"])
    drawn = functions["in_drawn512_sub2"].repeat(2, axis=0).repeat(2, axis=1)
    pasted = crop.PasteBack(picture, matrix)(drawn).astype(int)
    assert np.abs(pasted - functions["out_pasted"]).max() <= 1
