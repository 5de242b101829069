"""Outputs are complete or absent."""

import os
import subprocess
import sys

import numpy as np
import pytest
from media_clips import copy_through, make_images, make_video

from lhg_jax import media
from lhg_jax.media import writer
from lhg_jax.util.errors import UserError


def only_files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("frames", [0, 2])
def test_exception_leaves_the_old_output(tmp_path, failure, frames):
    (tmp_path / "out.mp4").write_bytes(b"old")
    with pytest.raises(failure), media.VideoWriter(tmp_path / "out.mp4", 64, 48, np.arange(4) / 25) as writer:
        for image in make_images(frames):
            writer.write(image)
        raise failure
    assert only_files(tmp_path) == ["out.mp4"] and (tmp_path / "out.mp4").read_bytes() == b"old"


@pytest.mark.parametrize("frames", [0, 3])
def test_too_few_frames_leave_nothing(tmp_path, frames):
    with pytest.raises(ValueError, match=f"{frames} of 4 frames"):  # noqa: SIM117
        with media.VideoWriter(tmp_path / "out.mp4", 64, 48, np.arange(4) / 25) as writer:
            for image in make_images(frames):
                writer.write(image)
    assert only_files(tmp_path) == []


def test_wrong_shape_or_too_many_frames(tmp_path):
    images = make_images(3)
    with pytest.raises(ValueError, match="expected"):  # noqa: SIM117
        with media.VideoWriter(tmp_path / "out.mp4", 64, 48, np.arange(2) / 25) as writer:
            for image in images:
                writer.write(image)
    assert only_files(tmp_path) == []


def test_folders_are_created_and_bad_places_are_errors(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir.mp4").mkdir()
    source = make_video(tmp_path / "in.mp4")
    assert copy_through(source, tmp_path / "new" / "deep" / "out.mp4").frames == 12
    for path, words in [
        ("file/out.mp4", "cannot be written"),
        ("dir.mp4", "is a folder"),
        ("out.avi", ".mp4"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            copy_through(source, tmp_path / path)
        assert str(tmp_path / path) in str(error.value)
    with pytest.raises(UserError, match="is written as"):
        media.write_audio(tmp_path / "a.xyz", np.zeros(10, np.float32), 16000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_is_not_writable(tmp_path):
    source = make_video(tmp_path / "in.mp4")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UserError, match="Permission denied"):
        copy_through(source, tmp_path / "locked" / "out.mp4")


def test_full_disk(tmp_path):
    """A limit on the size of files acts like a full disk: one line, the old output intact, nothing left."""
    code = (
        "import resource, sys, numpy as np\n"
        "from lhg_jax import media\n"
        "from lhg_jax.util import errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "rng = np.random.default_rng(0)\n"
        "def main():\n"
        "    with media.VideoWriter(sys.argv[1], 256, 256, np.arange(30) / 25) as writer:\n"
        "        for _ in range(30): writer.write(rng.integers(0, 256, (256, 256, 3), np.uint8))\n"
        "errors.run_cli(main)\n"
    )
    (tmp_path / "out.mp4").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "out.mp4"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {tmp_path / 'out.mp4'}: cannot be written (")
    assert done.stderr.count("\n") == 1
    assert only_files(tmp_path) == ["out.mp4"] and (tmp_path / "out.mp4").read_bytes() == b"old"


def test_fallback_encoder_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "ENCODERS", ("no_such_encoder", "mpeg4"))
    assert copy_through(make_video(tmp_path / "in.mp4", 60), tmp_path / "out.mp4").frames == 12
    assert "mpeg4" in caplog.text
    np.testing.assert_allclose(media.frame_times(tmp_path / "out.mp4"), np.arange(12) / 60, atol=1e-9)


def test_pictures_larger_than_players_take_are_worth_a_word(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "LARGEST", 8)
    for width, is_told in ((64, False), (65, True)):
        caplog.clear()
        with media.VideoWriter(tmp_path / "a.mp4", width, 32, np.zeros(1)) as out:
            out.write(np.zeros((32, width, 3), np.uint8))
        assert ("few players show pictures of 65 x 32 pixels" in caplog.text) == is_told
