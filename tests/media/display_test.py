"""Pictures as players show them, the tracks that players play, and lengths that headers get wrong."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from media_clips import HEIGHT, WIDTH, make_images, make_video, make_wave, mux_audio, psnr

from lhg_jax import media
from lhg_jax.media import display as media_display


def with_matrix(path, a, b, c, d):
    """Writes a display matrix over the identity of an mp4's track header."""
    data = path.read_bytes()
    start = data.index(matrix_bytes(1, 0, 0, 1), data.index(b"tkhd"))
    path.write_bytes(data[:start] + matrix_bytes(a, b, c, d) + data[start + 36 :])
    return path


def matrix_bytes(a, b, c, d):
    return b"".join(
        (65536 * value).to_bytes(4, "big", signed=True) for value in (a, b, 0, c, d, 0, 0, 0, 16384)
    )


@pytest.mark.parametrize(
    "matrix,change",
    [
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    ],
)
def test_display_matrix(tmp_path, matrix, change):
    path = with_matrix(make_video(tmp_path / "in.mp4"), *matrix)
    shown = [frame.image for frame in media.read_frames(path)]
    for image, original in zip(shown, make_images(12), strict=True):
        assert psnr(image, change(original)) > 25
    info = media.probe(path)
    assert (info.height, info.width) == shown[0].shape[:2]


@pytest.mark.parametrize(
    "aspect,size", [((64, 45), (91, 48)), ((1, 2), (64, 96)), ((1, 1), (64, 48)), ((0, 1), (64, 48))]
)
def test_pixels_become_square(tmp_path, aspect, size):
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        for index, image in enumerate(make_images(3)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    image = next(media.read_frames(path)).image
    assert image.shape[1::-1] == size == (media.probe(path).width, media.probe(path).height)


@pytest.mark.parametrize("transfer,code", [(16, 0.5807), (18, 0.75)])
def test_high_dynamic_range_is_shown_as_on_a_screen(tmp_path, transfer, code):
    """White of a page (203 cd/m², ITU-R BT.2408) is at 58 % of PQ and 75 % of HLG."""
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = (
            transfer,
            9,
            9,
            1,
        )
        planes = np.full((HEIGHT * 3 // 2, WIDTH), 512, np.uint16)
        planes[:HEIGHT] = np.linspace(64, 64 + 876 * code, WIDTH)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    row = next(media.read_frames(path)).image[HEIGHT // 2].astype(int)
    assert row[-1].min() > 215 and row[0].max() < 5
    assert np.ptp(row, axis=1).max() <= 2 and (np.diff(row[:, 1]) >= -1).all()


@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 13, 14])
def test_matrices_that_the_scaler_refuses_are_shown_all_the_same(tmp_path, matrix):
    images = make_images(3)
    for name, colorspace in (("odd.mp4", matrix), ("usual.mp4", media_display.REFUSED_MATRICES[matrix])):
        with av.open(str(tmp_path / name), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.codec_context.colorspace = colorspace
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    odd, usual = (next(media.read_frames(tmp_path / name)).image for name in ("odd.mp4", "usual.mp4"))
    np.testing.assert_array_equal(odd, usual)


def write_two_tracks(path, default):
    """A small and a large picture, silence and a tone; `default` is flagged."""
    with av.open(str(path), "w") as out:
        videos = [out.add_stream("libx264", rate=25) for _ in range(2)]
        sounds = [out.add_stream("aac", rate=48000, layout="mono") for _ in range(2)]
        for number, (video, sound) in enumerate(zip(videos, sounds, strict=True)):
            video.width, video.height, video.pix_fmt = 32 + 32 * number, 48, "yuv420p"
            flag = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            video.disposition = sound.disposition = flag
        for number, video in enumerate(videos):
            for index, image in enumerate(make_images(12, video.width, 48)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
            mux_audio(out, sounds[number], number * make_wave(0.48, 48000), 48000, "mono")
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_default_tracks_are_read(tmp_path, suffix, default):
    path = write_two_tracks(tmp_path / f"in.{suffix}", default)
    assert next(media.read_frames(path)).image.shape == (48, 32 + 32 * default, 3)
    assert (np.abs(media.read_audio(path)).max() > 0.1) == bool(default)
    with media.VideoWriter(tmp_path / "out.mp4", 16, 16, np.arange(12) / 25, audio_from=path) as writer:
        for _ in range(12):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    assert (np.abs(media.read_audio(tmp_path / "out.mp4")).max() > 0.1) == bool(default)


def test_a_picture_track_that_can_be_decoded_is_shown(tmp_path):
    path = write_two_tracks(tmp_path / "in.mp4", 0)
    data = path.read_bytes()
    first = data.index(b"avc1", data.index(b"stsd"))
    path.write_bytes(data[:first] + b"none" + data[first + 4 :])
    assert next(media.read_frames(path)).image.shape == (48, 64, 3)


class Pipe(io.RawIOBase):
    """A file that can only be written on, so that no header is mended at the end."""

    def __init__(self):
        self.parts = []

    def writable(self):
        return True

    def seekable(self):
        return False

    def write(self, data):
        self.parts.append(bytes(data))
        return len(data)


@pytest.mark.parametrize("form,codec", [("webm", "libopus"), ("flac", "flac")])
def test_sound_whose_header_has_no_length(tmp_path, form, codec):
    pipe = Pipe()
    with av.open(pipe, "w", format=form, options={"live": "1"} if form != "flac" else {}) as out:
        mux_audio(out, out.add_stream(codec, rate=48000, layout="mono"), make_wave(1.7, 48000), 48000, "mono")
    path = tmp_path / f"a.{form}"
    path.write_bytes(b"".join(pipe.parts))
    with av.open(str(path)) as container:
        assert not container.duration
    assert media.probe(path).duration_s == pytest.approx(1.7, abs=0.021)


def test_a_piece_of_a_long_recording_has_its_own_length(tmp_path, caplog):
    """Matroska's header holds the time of the end, hours after the first sample."""
    path = tmp_path / "piece.mka"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libopus", rate=48000, layout="mono")
        mux_audio(out, stream, make_wave(1.5, 48000), 48000, "mono", 10_800.0)
    assert media.probe(path).duration_s == pytest.approx(1.5, abs=0.021) and not caplog.text
    video = make_video(tmp_path / "piece.mkv", audio="aac", video_start_s=10_800, audio_start_s=10_800)
    assert media.probe(video).duration_s == pytest.approx(0.5, abs=0.03)


def test_sound_cut_short_has_the_length_that_is_there(tmp_path, caplog):
    path = tmp_path / "a.mp3"
    media.write_audio(path, make_wave(4.0, 16000)[0], 16000)
    assert media.probe(path).duration_s == pytest.approx(4.0, abs=0.01) and not caplog.text
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert media.probe(path).duration_s == pytest.approx(2.0, abs=0.1)
    assert "of 4.0 s of sound are there" in caplog.text
