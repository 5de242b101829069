"""`python -m lhg_jax.sample --renderer liveportrait`: networks are tiny, so the pictures mean nothing."""

import cv2
import liveportrait_stand_ins
import numpy as np
import pytest
import skimage.data
import skimage.io
from sample_helpers import fails, random_bridge, random_listener, run, run_from_landmarks, write_clip

from lhg_jax import media
from lhg_jax.motion import LANDMARK, LIVEPORTRAIT

FRAMES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A speaker, a portrait, listeners in both spaces, and LivePortrait's files."""
    folder = tmp_path_factory.mktemp("liveportrait")
    write_clip(folder / "speaker.mp4", FRAMES)
    skimage.io.imsave(folder / "portrait.png", skimage.data.astronaut()[:240, 80:360], check_contrast=False)
    random_listener(folder / "landmark.safetensors", LANDMARK)
    random_listener(folder / "native.safetensors", LIVEPORTRAIT)
    random_bridge(folder / "bridge.safetensors", LIVEPORTRAIT)
    liveportrait_stand_ins.make_folder(folder / "networks")
    return folder


def stages(folder) -> list:
    weights = folder / "networks"
    return [
        "--listener",
        folder / "portrait.png",
        "--renderer",
        "liveportrait",
        "--renderer-weights",
        weights,
    ]


@pytest.mark.parametrize("demo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_landmarks_drive_it_directly(demo, folder, tmp_path, monkeypatch, capsys):
    checkpoint = None if demo else folder / "landmark.safetensors"
    output, speaker = tmp_path / "out" / "o.mp4", folder / "speaker.mp4"
    way = [*stages(folder), "--renderer-fps", 6]
    frames = run_from_landmarks(monkeypatch, output, speaker, *way, checkpoint=checkpoint)
    assert frames.shape == (FRAMES, 240, 280, 3)
    assert "bridge" not in capsys.readouterr().err


def test_a_bridge_is_taken_where_one_is_named(folder, tmp_path, monkeypatch, capsys):
    weights = ["--tracker-weights", folder / "networks", "--bridge", folder / "bridge.safetensors"]
    output, speaker = tmp_path / "out" / "o.mp4", folder / "speaker.mp4"
    way = [*stages(folder), *weights]
    checkpoint = folder / "landmark.safetensors"
    frames = run_from_landmarks(monkeypatch, output, speaker, *way, checkpoint=checkpoint)
    assert len(frames) == FRAMES and "'liveportrait'" in capsys.readouterr().err


def test_single_frames_in_its_own_space(folder, tmp_path, monkeypatch):
    way = [*stages(folder), "--tracker-weights", folder / "networks", "--checkpoint"]
    way += [folder / "native.safetensors", "--speaker", folder / "speaker.mp4", "--asr", "none"]
    run(monkeypatch, *way, "--preview", 3, "--output", tmp_path / "o.mp4")
    pictures = [tmp_path / f"o_frame{i}.png" for i in (1, 2, 3)]
    assert sorted(tmp_path.iterdir()) == pictures
    assert all(media.read_image(path).shape == (240, 280, 3) for path in pictures)


@pytest.mark.parametrize("side", [128, pytest.param(4096, marks=pytest.mark.slow)])
def test_small_and_large_portraits(side, folder, tmp_path, monkeypatch):
    portrait = cv2.resize(
        skimage.data.astronaut()[:240, 100:340], (side, side), interpolation=cv2.INTER_CUBIC
    )
    skimage.io.imsave(tmp_path / "face.png", portrait, check_contrast=False)
    way = [
        *stages(folder),
        "--listener",
        tmp_path / "face.png",
        "--checkpoint",
        folder / "landmark.safetensors",
    ]
    way += ["--speaker", folder / "speaker.mp4", "--asr", "none", "--size", side]
    run(monkeypatch, *way, "--preview", 1, "--output", tmp_path / "o.mp4")
    picture = media.read_image(tmp_path / "o_frame1.png").astype(int)
    assert picture.shape == portrait.shape
    corner = np.s_[: side // 16, : side // 16]  # outside the square that is drawn
    assert np.abs(picture[corner] - portrait[corner]).max() <= 1
    assert np.abs(picture - portrait).max() > 20


def test_what_is_wrong_is_one_line(folder, tmp_path, monkeypatch, capsys):
    def error(*more) -> str:
        way = ["--speaker", folder / "speaker.mp4", "--asr", "none", *stages(folder), *more]
        return fails(monkeypatch, capsys, tmp_path / "o.mp4", *way)

    listener = ["--checkpoint", folder / "landmark.safetensors"]
    assert "--preview 9: the clip has 8 frames" in error(*listener, "--preview", 9)
    assert "--preview: draws the listener alone" in error("--preview", 2, "--side-by-side")
    assert "--tracker-weights" in error("--checkpoint", folder / "native.safetensors")
    mixed = tmp_path.parent / f"{tmp_path.name}_mixed"
    liveportrait_stand_ins.make_folder(mixed)
    (mixed / "warping.onnx").write_bytes((mixed / "generator.onnx").read_bytes())
    assert "not LivePortrait's warping network" in error(*listener, "--renderer-weights", mixed)
    (mixed / "warping.onnx").unlink()
    assert "warping.onnx: missing" in error(*listener, "--renderer-weights", mixed)
    assert "no such folder" in error(*listener, "--renderer-weights", folder / "networks" / "motion.onnx")


def test_frames_of_a_preview_are_those_of_the_video(folder, tmp_path, monkeypatch):
    way = ["--speaker", folder / "speaker.mp4", "--asr", "none", *stages(folder)]
    way += ["--checkpoint", folder / "landmark.safetensors"]
    run(monkeypatch, *way, "--output", tmp_path / "o.mp4")
    run(monkeypatch, *way, "--preview", 2, "--output", tmp_path / "o.mp4")
    frames = [frame.image.astype(int) for frame in media.read_frames(tmp_path / "o.mp4")]
    for number, frame in ((1, 2), (2, 6)):
        picture = media.read_image(tmp_path / f"o_frame{number}.png")
        assert np.abs(frames[frame] - picture).mean() < 4  # the video's compression
