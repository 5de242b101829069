"""Media: what goes in comes out, frame by frame and sample by sample, and bad input is one line."""

import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from lhg_jax import media
from lhg_jax.errors import UserError

WIDTH, HEIGHT = 64, 48
RATES = [24, 25, Fraction(30000, 1001), 30, 60, Fraction(24000, 1001)]


def make_images(count, width=WIDTH, height=HEIGHT, seed=0):
    """Smooth random pictures that move, so that neighbours differ and codecs cope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(width, height)
    phase, speed = rng.uniform(0, 6, 3), rng.uniform(0.2, 0.6, 3)
    waves = [np.sin(phase + speed * t + np.stack([5 * x, 4 * y, 3 * (x + y)], -1)) for t in range(count)]
    return [np.uint8(127 + 100 * wave) for wave in waves]


def make_wave(seconds, rate, channels=1, seed=1):
    """[channels, samples] float32: two tones and a little noise."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    tones = [0.3 * np.sin(2 * np.pi * f * t) for f in rng.uniform(200, 1500, channels)]
    return np.float32(np.stack(tones) + 0.01 * rng.standard_normal((channels, len(t))))


def mux_audio(container, stream, wave, rate, layout, start_s=0.0):
    context = stream.codec_context
    resampler = av.AudioResampler(context.format, context.layout, context.rate, context.frame_size or None)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T.reshape(1, -1)), "flt", layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, round(start_s * rate), Fraction(1, rate)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def make_video(
    path, rate=25, count=12, ticks=None, codec="libx264", audio=None, size=(WIDTH, HEIGHT), rotation=0,
    audio_rate=44100, layout="stereo", audio_start_s=0.0, video_start_s=0.0,
    container_options=None,
):  # fmt: skip
    """Writes a clip straight with av; `ticks` are time stamps in ms for a variable rate."""
    images = make_images(count, *size)
    with av.open(str(path), "w", options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if ticks is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        time_base = stream.codec_context.time_base or 1 / Fraction(rate)
        sound = out.add_stream(audio, rate=audio_rate, layout=layout) if audio else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base = time_base
            frame.pts = ticks[index] if ticks is not None else index
            frame.pts += round(video_start_s / time_base)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound:
            seconds = count / float(rate)
            channels = sound.codec_context.layout.nb_channels
            mux_audio(out, sound, make_wave(seconds, audio_rate, channels), audio_rate, layout, audio_start_s)
    return path


def copy_through(source, target, **kwargs):
    """The main job: the frames of `source` written with its time stamps and sound."""
    info = media.probe(source)
    kwargs.setdefault("audio_from", source if info.has_audio else None)
    with media.VideoWriter(target, info.width, info.height, media.frame_times(source), **kwargs) as writer:
        for frame in media.read_frames(source):
            writer.write(frame.image)
    return media.probe(target)


def packets_of(path, kind):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def psnr(a, b):
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


# Video through and through.


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_constant_rate_round_trip(tmp_path, rate):
    source = make_video(tmp_path / "in.mp4", rate, audio="aac")
    out = copy_through(source, tmp_path / "out.mp4")
    given = media.probe(source)
    assert (out.frames, out.width, out.height) == (12, WIDTH, HEIGHT)
    assert out.duration_s == pytest.approx(given.duration_s, abs=1e-3)  # the movie header counts ms
    assert out.video_end_s == pytest.approx(12 / rate, abs=1e-9)
    times = media.frame_times(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, np.arange(12) / float(rate), atol=1e-9)
    frames = list(media.read_frames(tmp_path / "out.mp4"))
    np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1e-9)
    assert min(psnr(f.image, g) for f, g in zip(frames, make_images(12), strict=True)) > 30
    assert packets_of(source, "audio") == packets_of(tmp_path / "out.mp4", "audio")
    np.testing.assert_array_equal(media.read_audio(source), media.read_audio(tmp_path / "out.mp4"))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_round_trip(tmp_path, suffix):
    ticks = np.cumsum([0, 40, 33, 17, 100, 41, 40, 7, 250, 33]).tolist()
    source = make_video(tmp_path / f"in.{suffix}", 30, 10, ticks)
    out = copy_through(source, tmp_path / "out.mp4", end_s=media.probe(source).video_end_s)
    np.testing.assert_allclose(media.frame_times(source), np.array(ticks) / 1000, atol=1e-9)
    np.testing.assert_allclose(media.frame_times(tmp_path / "out.mp4"), np.array(ticks) / 1000, atol=1e-9)
    assert out.video_end_s == pytest.approx(media.probe(source).video_end_s, abs=1e-9)


@pytest.mark.parametrize(
    "suffix,codec", [("avi", "mpeg4"), ("ts", "libx264"), ("gif", "gif"), ("mkv", "libx264")]
)
def test_other_containers_count_and_time(tmp_path, suffix, codec):
    source = make_video(tmp_path / f"in.{suffix}", 25, 12, codec=codec)
    times = media.frame_times(source)
    assert media.probe(source).frames == 12
    np.testing.assert_allclose(times, np.arange(12) / 25, atol=1e-3)
    np.testing.assert_allclose([f.time_s for f in media.read_frames(source)], times, atol=1e-9)
    assert copy_through(source, tmp_path / "out.mp4").frames == 12


def test_b_frames_are_timed_in_order_of_display(tmp_path):
    source = make_video(tmp_path / "in.mp4", 25, 30)  # libx264 makes B-frames by default
    with av.open(str(source)) as container:
        stamps = [p.pts for p in container.demux(video=0) if p.size]
    assert stamps != sorted(stamps), "the test needs B-frames"
    np.testing.assert_allclose(media.frame_times(source), np.arange(30) / 25, atol=1e-9)
    np.testing.assert_allclose([f.time_s for f in media.read_frames(source)], np.arange(30) / 25, atol=1e-9)


def test_one_frame(tmp_path):
    source = make_video(tmp_path / "in.mp4", 25, 1)
    out = copy_through(source, tmp_path / "out.mp4")
    assert out.frames == 1 and out.video_end_s == pytest.approx(0.04)


@pytest.mark.parametrize("width,height", [(63, 47), (64, 47), (17, 16)])
def test_odd_sizes_repeat_the_edge(tmp_path, width, height):
    images = make_images(3, width, height)
    with media.VideoWriter(tmp_path / "out.mp4", width, height, np.arange(3) / 25) as writer:
        for image in images:
            writer.write(image)
    frame = next(media.read_frames(tmp_path / "out.mp4")).image
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert psnr(frame[:height, :width], images[0]) > 28
    if width % 2:
        assert psnr(frame[:, -1], frame[:, -2]) > 28


@pytest.mark.parametrize("rotation,turns", [(90, 1), (-90, 3), (180, 2)])
def test_display_rotation_is_applied(tmp_path, rotation, turns):
    source = make_video(tmp_path / "in.mp4", rotation=rotation)
    image = next(media.read_frames(source)).image
    info = media.probe(source)
    assert (info.height, info.width) == image.shape[:2]
    assert psnr(image, np.rot90(make_images(1)[0], turns)) > 28


def test_colours_survive(tmp_path):
    """Saturated flat colours come back within a few levels: matrix and range are those the file states."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :16], image[:, 16:32], image[:, 32:48], image[:, 48:] = (
        (220, 30, 40),
        (20, 200, 60),
        (30, 40, 210),
        128,
    )
    with media.VideoWriter(tmp_path / "out.mp4", 64, 48, np.zeros(1)) as writer:
        writer.write(image)
    back = next(media.read_frames(tmp_path / "out.mp4")).image
    middles = [4, 24, 40, 56]
    np.testing.assert_allclose(np.int32(back[24, middles]), np.int32(image[24, middles]), atol=6)
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)


def test_index_is_at_the_front(tmp_path):
    copy_through(make_video(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_on_frame_is_called_per_frame(tmp_path):
    calls = []
    list(media.read_frames(make_video(tmp_path / "in.mp4"), on_frame=lambda: calls.append(1)))
    assert len(calls) == 12


# Sound.


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


# Images.


def save_image(path, image, **kwargs):
    image.save(path, **kwargs)
    return media.read_image(path)


def test_image_modes(tmp_path):
    from PIL import Image

    rgb = make_images(1)[0]
    picture, grey = Image.fromarray(rgb), np.array(Image.fromarray(rgb).convert("L"))
    np.testing.assert_array_equal(save_image(tmp_path / "rgb.png", picture), rgb)
    np.testing.assert_array_equal(save_image(tmp_path / "grey.png", picture.convert("L"))[..., 1], grey)
    assert psnr(save_image(tmp_path / "cmyk.jpg", picture.convert("CMYK"), quality=95), rgb) > 28
    assert psnr(save_image(tmp_path / "palette.png", picture.quantize(256)), rgb) > 28
    assert psnr(save_image(tmp_path / "photo.webp", picture, quality=95), rgb) > 28
    sixteen = Image.fromarray(np.uint16(grey) * 257)
    np.testing.assert_array_equal(save_image(tmp_path / "sixteen.png", sixteen)[..., 0], grey)
    assert save_image(tmp_path / "bit.png", picture.convert("1")).shape == rgb.shape


def test_transparency_shows_white(tmp_path):
    from PIL import Image

    rgb, alpha = make_images(1)[0], np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    want = rgb * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    np.testing.assert_allclose(save_image(tmp_path / "rgba.png", rgba), want, atol=1.01)
    palette = Image.fromarray(np.uint8([[0, 1]]), mode=None).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    got = save_image(tmp_path / "palette.png", palette, transparency=0)
    np.testing.assert_array_equal(got, [[[255, 255, 255], [40, 50, 60]]])


@pytest.mark.parametrize("orientation,turns", [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    from PIL import Image

    image = Image.fromarray(make_images(1)[0])
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = save_image(tmp_path / "turned.jpg", image, exif=exif, quality=95)
    assert psnr(back, np.rot90(make_images(1)[0], turns)) > 28


def test_animation_or_video_gives_its_first_frame(tmp_path):
    for name, codec in (("in.mp4", "libx264"), ("in.gif", "gif")):
        image = media.read_image(make_video(tmp_path / name, codec=codec))
        assert psnr(image, make_images(1)[0]) > 15 > psnr(image, make_images(12)[11])


def test_side_by_side_keeps_aspect():
    left, right = make_images(1, 32, 24)[0], make_images(1, 64, 48, seed=2)[0]
    both = media.side_by_side(left, right)
    assert both.shape == (48, 128, 3)
    np.testing.assert_array_equal(both[:, 64:], right)
    assert psnr(both[::2, :64:2], left) > 25


# Bad input: one line that names the file and what is wrong.


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


# Outputs are complete or absent.


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
        "from lhg_jax import errors, media\n"
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
    from lhg_jax.media import writer

    monkeypatch.setattr(writer, "ENCODERS", ("no_such_encoder", "mpeg4"))
    assert copy_through(make_video(tmp_path / "in.mp4", 60), tmp_path / "out.mp4").frames == 12
    assert "mpeg4" in caplog.text
    np.testing.assert_allclose(media.frame_times(tmp_path / "out.mp4"), np.arange(12) / 60, atol=1e-9)


# Memory.

STREAM = """
import sys
from lhg_jax import media
info = media.probe(sys.argv[1])
with media.VideoWriter(sys.argv[2], 256, 256, media.frame_times(sys.argv[1]), sys.argv[1]) as writer:
    for frame in media.read_frames(sys.argv[1]):
        writer.write(frame.image)
# Not ru_maxrss: that one starts from the size of the process that forked this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_length(tmp_path):
    """10 minutes peak within 10 % of 1 minute, 256x256 at 25 frames/s with sound."""
    peaks = []
    for minutes in (1, 10):
        still = make_images(50, 256, 256)
        wave = make_wave(60 * minutes, 16000)[0]
        source = tmp_path / f"{minutes}.mp4"
        times = np.arange(1500 * minutes) / 25
        with media.VideoWriter(source, 256, 256, times, audio=wave) as writer:
            for index in range(len(times)):
                writer.write(still[index % 50])
        command = [sys.executable, "-c", STREAM, source, tmp_path / "out.mp4"]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    print("peak kB:", peaks)
    assert peaks[1] < 1.1 * peaks[0], peaks
