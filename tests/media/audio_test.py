"""Sound: what goes in comes out, sample by sample and at its time."""

from fractions import Fraction

import av
import numpy as np
import pytest
from media_clips import HEIGHT, WIDTH, copy_through, make_images, make_video, make_wave, mux_audio, packets_of

from lhg_jax import media
from lhg_jax.util.errors import UserError


@pytest.mark.parametrize("suffix,tolerance", [("wav", 1e-3), ("flac", 1e-3), ("m4a", 0.05), ("mp3", 0.05)])
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_audio_files_keep_their_time(tmp_path, suffix, tolerance, rate):
    wave = make_wave(1.3, rate)[0]
    path = tmp_path / f"a.{suffix}"
    media.write_audio(path, wave, rate)
    info = media.probe(path)
    assert info.has_audio and not info.has_video and info.frames == 0 and info.sample_rate == rate
    back = media.read_audio(path, rate)
    assert back.dtype == np.float32
    # Lossy codecs end on a whole block of samples.
    assert 0 <= len(back) - len(wave) <= (0 if suffix in ("wav", "flac") else 1152)
    assert np.sqrt(np.mean((back[2000:18000] - wave[2000:18000]) ** 2)) < tolerance


def test_numbers_that_are_none_are_silence(tmp_path):
    """Files of floats may hold NaN; one would spoil all features."""
    wave = make_wave(0.5, 16000)
    wave[0, 100:110], wave[0, 200], wave[0, 300] = np.nan, np.inf, -np.inf
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave, "flt", "mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    back = media.read_audio(path)
    assert not back[100:110].any() and (back[200], back[300]) == (1, -1)
    np.testing.assert_allclose(back[301:], wave[0, 301:], atol=1e-6)


def test_damaged_pieces_of_sound_are_left_out(tmp_path, caplog):
    """`cat a.mp3 b.mp3`: the second header is no sound; players pass over it."""
    media.write_audio(tmp_path / "a.mp3", make_wave(1.5, 16000)[0], 16000)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "both.mp3").write_bytes(data + data)
    wave = media.read_audio(tmp_path / "both.mp3")
    assert len(wave) == pytest.approx(2 * 1.5 * 16000, abs=0.2 * 16000)
    assert "both.mp3: 1 damaged pieces of its sound are left out" in caplog.text
    (tmp_path / "noise.mp3").write_bytes(data[:400] + np.random.default_rng(0).bytes(30_000))
    with pytest.raises(UserError, match=r"noise.mp3: damaged, most of its sound"):
        media.read_audio(tmp_path / "noise.mp3")


def test_sound_that_mp4_refuses_is_encoded(tmp_path):
    """A FLAC file whose header is lost still plays, but mp4 cannot hold it as it is."""
    wave = make_wave(1.5, 16000)
    media.write_audio(tmp_path / "a.flac", wave[0], 16000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "headless.flac").write_bytes(data[data.index(b"\xff\xf8") :])
    with media.VideoWriter(
        tmp_path / "o.mp4", 16, 16, np.arange(3) / 25, audio_from=tmp_path / "headless.flac"
    ) as out:
        for _ in range(3):
            out.write(np.zeros((16, 16, 3), np.uint8))
    back = media.read_audio(tmp_path / "o.mp4")
    assert np.corrcoef(back[4000:20000], wave[0, 4000:20000])[0, 1] > 0.97


def test_a_track_that_can_be_decoded_is_taken(tmp_path):
    """Phones put a second track beside the sound, in a code that nobody else knows."""
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as out:
        tracks = [out.add_stream(codec, rate=16000, layout="mono") for codec in ("aac", "pcm_s16le")]
        for track in tracks:
            mux_audio(out, track, make_wave(0.5, 16000), 16000, "mono")
    for known, unknown in ((b"mp4a", b"apac"), (b"sowt", b"apac")):
        data = path.read_bytes()
        (tmp_path / "odd.mov").write_bytes(data[::-1].replace(known[::-1], unknown[::-1], 1)[::-1])
        assert len(media.read_audio(tmp_path / "odd.mov")) == pytest.approx(8000, abs=1200)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "7.1"])
@pytest.mark.parametrize(
    "codec,rate", [("pcm_s16le", 8000), ("pcm_f32le", 22050), ("pcm_s32le", 96000), ("flac", 44100)]
)
def test_any_rate_channels_and_format(tmp_path, layout, codec, rate):
    source = make_video(tmp_path / "in.mkv", audio=codec, audio_rate=rate, layout=layout)
    wave = media.read_audio(source)
    channels = av.AudioLayout(layout).nb_channels
    want = make_wave(12 / 25, rate, channels).mean(axis=0)
    assert abs(len(wave) - 0.48 * 16000) <= 16  # Matroska rounds to ms
    times = np.arange(1000, 6000) / 16000
    got, tones = wave[1000:6000], np.interp(times, np.arange(len(want)) / rate, want)
    assert np.corrcoef(got, tones)[0, 1] > 0.97
    assert got.std() == pytest.approx(tones.std(), rel=0.1)


@pytest.mark.parametrize("suffix,audio", [("mp4", "aac"), ("mkv", "pcm_s16le"), ("ts", "aac")])
@pytest.mark.parametrize("late", ["audio", "video", "both"])
def test_start_offsets(tmp_path, suffix, audio, late):
    """A click at a known time of the clock is found there, whichever track starts late."""
    video_s, audio_s = {"audio": (0, 0.4), "video": (0.4, 0), "both": (0.4, 0.4)}[late]
    source = make_video(
        tmp_path / f"in.{suffix}", 25, 25, audio=audio, audio_start_s=audio_s, video_start_s=video_s
    )
    first = media.frame_times(source)[0]
    wave = np.abs(media.read_audio(source))
    onset = np.flatnonzero(wave > 0.1)[0] / 16000
    assert first - onset == pytest.approx(video_s - audio_s, abs=0.03)
    assert min(first, onset) >= 0
    copy_through(source, tmp_path / "out.mp4")
    times = media.frame_times(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, media.frame_times(source), atol=1e-6)
    back = np.abs(media.read_audio(tmp_path / "out.mp4"))
    assert np.flatnonzero(back > 0.1)[0] / 16000 == pytest.approx(onset, abs=2e-3)


def test_gap_in_the_sound_stays_silent(tmp_path):
    path = tmp_path / "gap.mkv"
    wave = make_wave(0.5, 16000)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in (0, 16000):
            frame = av.AudioFrame.from_ndarray(np.int16(wave * 32767), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    back = media.read_audio(path)
    assert len(back) == 24000 and not back[8000:16000].any()
    np.testing.assert_allclose(back[16000:], wave[0], atol=1e-3)


@pytest.mark.parametrize("suffix,codec,copied", [
    ("mp4", "aac", "aac"), ("mp4", "libmp3lame", "mp3"), ("mkv", "libmp3lame", "mp3"),
    ("mp4", "alac", "alac"),
    ("mkv", "flac", "flac"), ("mkv", "ac3", "aac"), ("mkv", "libopus", "aac"), ("mkv", "pcm_s16le", "aac"),
    ("mkv", "pcm_f32le", "aac"),
])  # fmt: skip
def test_sound_is_copied_where_mp4_holds_the_codec(tmp_path, suffix, codec, copied):
    source = make_video(tmp_path / f"in.{suffix}", audio=codec, audio_rate=48000)
    copy_through(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec.canonical_name == copied
    same = packets_of(source, "audio") == packets_of(tmp_path / "out.mp4", "audio")
    assert same == (copied != "aac" or codec == "aac")
    a, b = media.read_audio(source), media.read_audio(tmp_path / "out.mp4")
    assert abs(len(a) - len(b)) <= 1024 * 16000 // 48000
    assert np.corrcoef(a[800:7000], b[800:7000])[0, 1] > 0.98


@pytest.mark.parametrize("seconds", [0.2, 1.5])
def test_sound_from_another_file(tmp_path, seconds):
    """Shorter sound leaves the video as it is; longer sound is kept whole."""
    source = make_video(tmp_path / "in.mp4", 25, 12, audio="aac")
    media.write_audio(tmp_path / "b.wav", make_wave(seconds, 22050)[0], 22050)
    out = copy_through(source, tmp_path / "out.mp4", audio_from=tmp_path / "b.wav")
    assert out.frames == 12 and out.video_end_s == pytest.approx(0.48)
    assert out.duration_s == pytest.approx(max(0.48, seconds), abs=2e-3)
    samples = len(media.read_audio(tmp_path / "out.mp4"))
    assert 0 <= samples - seconds * 16000 <= 1024 * 16000 / 22050 + 1  # a whole AAC block


def test_sound_from_an_array(tmp_path):
    wave = make_wave(0.48, 16000)[0]
    source = make_video(tmp_path / "in.mp4")
    copy_through(source, tmp_path / "out.mp4", audio=wave, audio_from=None)
    back = media.read_audio(tmp_path / "out.mp4")
    assert 0 <= len(back) - len(wave) < 1024  # a whole AAC block
    assert np.corrcoef(back[: len(wave)], wave)[0, 1] > 0.98


def test_cover_picture_is_no_video(tmp_path):
    path = tmp_path / "cover.mp3"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("libmp3lame", rate=44100, layout="mono")
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(make_images(1)[0], format="rgb24")))
        mux_audio(out, sound, make_wave(0.5, 44100), 44100, "mono")
    info = media.probe(path)
    assert info.has_audio and not info.has_video
