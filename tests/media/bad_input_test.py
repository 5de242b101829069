"""Bad input: one line that names the file and what is wrong."""

import numpy as np
import pytest
from media_clips import copy_through, make_images, make_video, make_wave

from lhg_jax import media
from lhg_jax.util.errors import UserError


def make_bad(folder):
    """File name -> words its error must hold."""
    good = make_video(folder / "good.mp4", 25, 60)
    data = good.read_bytes()
    front = make_video(folder / "front.mp4", 25, 60, container_options={"movflags": "faststart"}).read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is a shopping list: eggs, milk\n" * 50)
    (folder / "random.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    (folder / "nomoov.mp4").write_bytes(data[: len(data) // 2])
    (folder / "cut.mp4").write_bytes(front[: len(front) * 2 // 3])
    (folder / "folder.mp4").mkdir()
    return {"missing.mp4": "no such file", "empty.mp4": "0 bytes", "text.mp4": "not a media file",
            "random.mp4": "not a media file", "nomoov.mp4": "not a media file, or damaged",
            "cut.mp4": "of 60 frames can be read", "folder.mp4": "is a folder"}  # fmt: skip


BAD = ["missing.mp4", "empty.mp4", "text.mp4", "random.mp4", "nomoov.mp4", "cut.mp4", "folder.mp4"]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("reader", [media.probe, media.frame_times, lambda p: list(media.read_frames(p))])
def test_bad_video(tmp_path, name, reader, capfd):
    words = make_bad(tmp_path)[name]
    with pytest.raises(UserError) as error:
        reader(tmp_path / name)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / name}: ") and words in message and "\n" not in message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["missing.mp4", "empty.mp4", "text.mp4", "random.mp4", "folder.mp4"])
@pytest.mark.parametrize("reader", [media.read_audio, media.read_image])
def test_bad_audio_and_image(tmp_path, name, reader):
    make_bad(tmp_path)
    with pytest.raises(UserError, match=name) as error:
        reader(tmp_path / name)
    assert "\n" not in str(error.value)


def test_truncated_matroska(tmp_path):
    data = make_video(tmp_path / "in.mkv", 25, 100).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 3])
    with pytest.raises(UserError, match=r"cut.mkv: truncated, it ends at \d"):
        media.probe(tmp_path / "cut.mkv")


def test_video_without_sound_names_the_option(tmp_path):
    source = make_video(tmp_path / "mute.mp4")
    with pytest.raises(UserError, match=r"mute.mp4: has no sound .*--audio"):
        media.read_audio(source)
    with pytest.raises(UserError, match="--audio"):
        copy_through(source, tmp_path / "out.mp4", audio_from=source)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mute.mp4"]


def test_sound_without_video(tmp_path):
    media.write_audio(tmp_path / "a.wav", make_wave(0.2, 16000)[0], 16000)
    with pytest.raises(UserError, match="has no video"):
        media.frame_times(tmp_path / "a.wav")


@pytest.mark.parametrize("keep", [0, 200])
def test_damaged_image(tmp_path, keep):
    from PIL import Image

    Image.fromarray(make_images(1)[0]).save(tmp_path / "in.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "in.png").read_bytes()[:keep])
    with pytest.raises(UserError, match=r"cut\.png"):
        media.read_image(tmp_path / "cut.png")


def test_image_without_pixels(tmp_path):
    (tmp_path / "none.ppm").write_bytes(b"P6\n0 0\n255\n")
    with pytest.raises(UserError, match=r"none\.ppm"):
        media.read_image(tmp_path / "none.ppm")


def test_unicode_spaces_and_colons(tmp_path):
    folder = tmp_path / "mein Ordner: 会话 é"
    folder.mkdir()
    source = make_video(folder / "in put.mp4", audio="aac").rename(folder / "spré cher: 1%d.mp4")
    assert copy_through(source, folder / "aus gabe ü.mp4").frames == 12
