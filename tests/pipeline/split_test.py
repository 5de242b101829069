"""`python -m lhg_jax.predict`: every clip of a split, here or on Beam; finished ones are left alone."""

import sys

import numpy as np
import pytest
import skimage.io
from clip_folder import make_folder
from sample_helpers import random_listener, voice
from training_toy import WORD_SIZE

from lhg_jax import demo, media, predict
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.motion import LANDMARK, TDDFA, load_motion
from lhg_jax.pipeline import split
from lhg_jax.util.errors import UserError, run_cli

FRAMES = (14, 10, 6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    make_folder(folder / "data", FRAMES)
    random_listener(folder / "listener.safetensors", LANDMARK, WORD_SIZE)
    return folder


def run(monkeypatch, folder, output, *arguments) -> None:
    command = ["--data", folder / "data", "--checkpoint", folder / "listener.safetensors", "--output", output]
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, [*command, *arguments])])
    run_cli(predict.main)


def names(folder) -> list[str]:
    return split.open_source(folder / "data").metadata.uuids


def test_motions_are_those_of_the_listener(folder, tmp_path, monkeypatch, capsys):
    run(monkeypatch, folder, tmp_path / "out")
    source = split.open_source(folder / "data")
    model = load_listener(folder / "listener.safetensors")
    for index, name in enumerate(names(folder)):
        motion = load_motion(tmp_path / f"out/{name}.npz")
        example = source[index]
        assert len(motion) == FRAMES[index] and motion.space == LANDMARK
        np.testing.assert_array_equal(motion.values[0], example.listener_motion[0])
        words = len(example.features.word_table)
        features = split.pad_features(example.features, FRAMES[index], words)
        np.testing.assert_array_equal(motion.values, model.generate(features, motion.values[0]))
    assert "(3 clips)" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 3

    # What is there is not made again; what is missing is.
    done = [tmp_path / f"out/{name}.npz" for name in names(folder)]
    done[1].unlink()
    done[0].write_bytes(b"finished")
    run(monkeypatch, folder, tmp_path / "out")
    assert done[0].read_bytes() == b"finished" and len(load_motion(done[1])) == FRAMES[1]


def test_videos_for_evaluate(folder, tmp_path, monkeypatch):
    portraits, sounds, out = tmp_path / "portraits", tmp_path / "sounds", tmp_path / "out"
    portraits.mkdir()
    sounds.mkdir()
    for name in names(folder):
        skimage.io.imsave(portraits / f"{name}.PNG", demo.portrait()[::2, ::2], check_contrast=False)
        media.write_audio(sounds / f"{name}.Flac", voice(0.5), 16000)
    run(
        monkeypatch, folder, out, "--video", "--truth", "--portraits", portraits, "--sound", sounds,
        "--pose-scale", 0.5,
    )  # fmt: skip
    for frames, name in zip(FRAMES, names(folder), strict=True):
        for path in (out / f"{name}.listener.mp4", out / f"truth/{name}.listener.mp4"):
            info = media.probe(path)
            assert (info.frames, info.height, info.has_audio) == (frames, 176, True)


def test_a_listeners_own_video_gives_the_frame_rate(folder, tmp_path, monkeypatch):
    """So that `evaluate` can compare frame by frame: 25 frames/s beside the model's 30."""
    portraits, out = tmp_path / "portraits", tmp_path / "out"
    portraits.mkdir()
    image = demo.portrait()[::2, ::2]
    height, width = image.shape[:2]
    for frames, name in zip((11, 8, 9), names(folder), strict=True):
        path, times = portraits / f"{name}.listener.mp4", np.arange(frames) / 25
        with media.VideoWriter(path, width, height, times) as writer:
            for _ in times:
                writer.write(image)
    run(monkeypatch, folder, out, "--video", "--portraits", portraits)
    shown = [media.probe(out / f"{name}.listener.mp4") for name in names(folder)]
    assert [(info.frames, round(info.fps)) for info in shown] == [
        (11, 25),
        (8, 25),
        (6, 30),
    ]  # the last: another length


def test_files_are_found_however_they_are_written(tmp_path):
    for name in ("cafe\u0301.WebP", "b.listener.MKV", "b.txt"):
        (tmp_path / name).touch()
    find = split._finder(tmp_path, split.PORTRAITS)
    assert find("caf\u00e9") == tmp_path / "cafe\u0301.WebP" and find("b") == tmp_path / "b.listener.MKV"
    with pytest.raises(UserError, match="has no file for the clip c"):
        find("c")
    assert split._finder(tmp_path / "b.txt", split.PORTRAITS)("anybody") == tmp_path / "b.txt"


@pytest.mark.parametrize("kind", ["--portraits", "--sound"])
def test_inputs_are_never_overwritten(folder, tmp_path, monkeypatch, capsys, kind):
    """The true listeners' videos have the names that predictions get."""
    for name in names(folder):
        (tmp_path / f"{name}.listener.mp4").write_bytes(b"film")
        (tmp_path / f"{name}.wav").symlink_to(tmp_path / f"{name}.listener.mp4")
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, folder, tmp_path, "--video", kind, tmp_path)
    assert exit_info.value.code == 2 and "is one of the inputs" in capsys.readouterr().err
    assert all((tmp_path / f"{name}.listener.mp4").read_bytes() == b"film" for name in names(folder))


def test_a_clip_that_cannot_be_drawn_is_named(folder, tmp_path, monkeypatch, capsys):
    skimage.io.imsave(tmp_path / "black.png", np.zeros((90, 90, 3), np.uint8), check_contrast=False)
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, folder, tmp_path / "out", "--video", "--portraits", tmp_path / "black.png")
    report = " ".join(capsys.readouterr().err.split())
    assert exit_info.value.code == 2 and "3 clips could not be made" in report
    assert f"{names(folder)[0]}: " in report and "no face found" in report
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--truth"], "--truth: draws videos"),
        (["--video", "--portraits", "none"], "none: no such file or folder"),
        (["--video", "--portraits", "."], "has no file for the clip"),
        (["--pose-scale", "-1"], "--pose-scale: -1.0 is negative"),
        (["--renderer", "x"], "unknown renderer 'x'"),
        (["--data", "none"], "no prepared clips here"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, folder, tmp_path / "out", *arguments)
    assert exit_info.value.code == 2 and message in capsys.readouterr().err


def test_another_space_is_named(folder, tmp_path, monkeypatch, capsys):
    random_listener(tmp_path / "other.safetensors", TDDFA, WORD_SIZE)
    with pytest.raises(SystemExit):
        run(monkeypatch, folder, tmp_path / "out", "--checkpoint", tmp_path / "other.safetensors")
    report = capsys.readouterr().err
    assert "space tddfa" in report and "space landmark" in report


@pytest.mark.slow
def test_on_beam(folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("apache_beam")
    run(monkeypatch, folder, tmp_path / "here")
    run(monkeypatch, folder, tmp_path / "beam", "--runner", "DirectRunner")
    for name in names(folder):
        a, b = (load_motion(tmp_path / f"{place}/{name}.npz") for place in ("here", "beam"))
        np.testing.assert_allclose(a.values, b.values, atol=1e-6)
    with pytest.raises(SystemExit):
        run(monkeypatch, folder, tmp_path / "x", "--runner", "NoSuchRunner")
    assert "error: --runner NoSuchRunner" in capsys.readouterr().err
