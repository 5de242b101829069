"""Video through and through: what goes in comes out, frame by frame, and in little memory."""

import os
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from media_clips import HEIGHT, WIDTH, copy_through, make_images, make_video, make_wave, packets_of, psnr

from lhg_jax import media

RATES = [24, 25, Fraction(30000, 1001), 30, 60, Fraction(24000, 1001)]


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
