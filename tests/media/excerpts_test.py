import itertools

import av
import numpy as np
import pytest
from media_clips import make_video, make_wave

from lhg_jax import media
from lhg_jax.media.excerpts import Part
from lhg_jax.util.errors import UserError

CODECS = [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libx264")]


@pytest.mark.parametrize(("name", "codec"), CODECS)
@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 0.3), (1.01, 2.0), (2.5, 9.0)])
def test_frames_are_those_of_the_whole_video(tmp_path, name, codec, start_s, end_s):
    path = make_video(tmp_path / name, rate=25, count=100, codec=codec)
    whole = list(media.read_frames(path))
    ends = [*(frame.time_s for frame in whole[1:]), whole[-1].time_s + 0.04]
    wanted = [f for f, end in zip(whole, ends, strict=True) if end > start_s + 1e-9 and f.time_s < end_s]
    found = list(media.excerpt_frames(path, start_s, end_s))
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.time_s == pytest.approx(max(b.time_s - start_s, 0.0), abs=1e-6)
        np.testing.assert_array_equal(a.image, b.image)


def test_variable_frame_rate_and_a_late_video(tmp_path):
    ticks = list(itertools.accumulate([40, 20, 90] * 30))
    path = make_video(tmp_path / "a.mp4", count=90, ticks=ticks, audio="aac", video_start_s=0.5)
    whole = [frame.time_s for frame in media.read_frames(path)]
    found = [frame.time_s + 2.0 for frame in media.excerpt_frames(path, 2.0, 3.0)]
    assert found[1:] == pytest.approx([t for t in whole if 2.0 < t < 3.0], abs=1e-6)
    assert found[0] == 2.0


def test_a_part_of_the_picture(tmp_path):
    path = make_video(tmp_path / "a.mp4", count=5)
    [left, *_] = media.excerpt_frames(path, 0.0, 0.1, Part(0.0, 0.0, 0.5, 1.0))
    [whole, *_] = media.read_frames(path)
    np.testing.assert_array_equal(left.image, whole.image[:, :32])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a", "a.mp3"])
def test_sound_is_that_of_the_whole_file(tmp_path, name):
    wave = make_wave(9, 16000)[0]
    media.write_audio(tmp_path / name, wave, 16000)
    whole = media.read_audio(tmp_path / name)
    for start_s, end_s in ((0.0, 1.0), (3.21, 5.4), (7.0, 8.5)):
        found = media.excerpt_sound(tmp_path / name, start_s, end_s)
        assert len(found) == round((end_s - start_s) * 16000)
        first = round(start_s * 16000)
        error = np.abs(found - whole[first : first + len(found)])
        assert error.max() < 2e-3 if name == "a.mp3" else error.max() < 1e-4
    assert len(media.excerpt_sound(tmp_path / name, 8.0, 60.0)) == len(whole) - 8 * 16000


def test_channels_are_heard_one_by_one(tmp_path):
    wave = make_wave(4, 48000, channels=2)
    with av.open(str(tmp_path / "a.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48000, layout="stereo")
        data = np.int16(32767 * wave.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), "s16", "stereo")
        frame.sample_rate = 48000
        out.mux([*stream.encode(frame), *stream.encode(None)])
    both = [media.excerpt_sound(tmp_path / "a.wav", 1.0, 2.0, 48000, channel) for channel in (0, 1)]
    for found, channel in zip(both, wave, strict=True):
        np.testing.assert_allclose(found, channel[48000:96000], atol=1e-4)
    mean = media.excerpt_sound(tmp_path / "a.wav", 1.0, 2.0, 48000)
    np.testing.assert_allclose(mean, (both[0] + both[1]) / 2, atol=1e-6)
    with pytest.raises(UserError, match="has 2 channels of sound, no number 3"):
        media.excerpt_sound(tmp_path / "a.wav", 1.0, 2.0, channel=2)


def test_nothing_after_the_end(tmp_path):
    path = make_video(tmp_path / "a.mp4", count=25, audio="aac")
    with pytest.raises(UserError, match=r"shows nothing from 30.0 to 31.0 s"):
        list(media.excerpt_frames(path, 30.0, 31.0))
    with pytest.raises(UserError, match=r"no sound can be decoded after 30.0 s"):
        media.excerpt_sound(path, 30.0, 31.0)
