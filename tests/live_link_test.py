"""The csv for animators: columns of the app, values of known motions."""

import csv

import numpy as np
import pytest

from lhg_jax.face_model import action
from lhg_jax.live_link import BLENDSHAPES, HEADER, MAPPING, blendshapes, timecode, write_live_link
from lhg_jax.motion import DEEP3D, LANDMARK, Motion
from lhg_jax.util.errors import UserError


def motion_of(amounts: dict[str, float], angle=(0.0, 0.0, 0.0), frames: int = 4) -> Motion:
    values = np.zeros((frames, LANDMARK.size), np.float32)
    values[:, :64] = sum(size * action(name) for name, size in amounts.items())
    values[:, LANDMARK.slice("angle")] = angle
    return Motion(LANDMARK, values)


def test_there_are_52_blendshapes_in_the_apps_order():
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52 and len(HEADER) == 63
    assert BLENDSHAPES[:2] == ("EyeBlinkLeft", "EyeLookDownLeft") and BLENDSHAPES[-1] == "TongueOut"
    assert BLENDSHAPES[14:18] == ("JawForward", "JawRight", "JawLeft", "JawOpen")
    assert {name for shares in MAPPING.values() for name in shares} <= set(BLENDSHAPES)


def test_actions_come_out_as_their_blendshapes():
    columns = blendshapes(motion_of({"smile": 0.5, "blink": 0.8, "brow_raise": -0.3}))
    expected = {"MouthSmileLeft": 0.5, "CheekSquintRight": 0.2, "EyeBlinkLeft": 0.8, "BrowInnerUp": 0.0}
    for name, value in expected.items():
        np.testing.assert_allclose(columns[name], value, atol=1e-5)
    assert not columns["TongueOut"].any()


def test_angles_follow_arkits_axes():
    columns = blendshapes(motion_of({}, angle=(0.1, 0.2, 0.3)))
    found = [columns[name][0] for name in ("HeadPitch", "HeadYaw", "HeadRoll")]
    np.testing.assert_allclose(found, [0.1, -0.2, -0.3], atol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "fps", "expected"),
    [(0.0, 30.0, "00:00:00:00.000"), (3661.5, 24.0, "01:01:01:12.000"), (2.99, 25.0, "00:00:02:24.750")],
)
def test_timecode(seconds, fps, expected):
    assert timecode(seconds, fps) == expected


def test_the_file_has_a_row_a_frame_of_the_video(tmp_path):
    motion = motion_of({"jaw_open": 0.4}, frames=60)
    write_live_link(tmp_path / "out.csv", motion, np.arange(50) / 25, 2.0)
    rows = list(csv.reader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(rows[0]) == HEADER and len(rows) == 51
    assert rows[26][:2] == ["00:00:01:00.000", "61"]
    assert float(rows[7][HEADER.index("JawOpen")]) == pytest.approx(0.4, abs=1e-5)


def test_another_space_has_no_blendshapes():
    with pytest.raises(UserError, match="deep3d"):
        blendshapes(Motion(DEEP3D, np.zeros((2, DEEP3D.size), np.float32)))
