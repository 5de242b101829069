"""Sound whose time stamps have gaps, drift, errors or fresh starts: every sample stays at its time."""

from fractions import Fraction

import av
import numpy as np
import pytest
from media_clips import copy_through, make_video, make_wave

from lhg_jax import media

RATE, PACKET = 16000, 320  # 20 ms


def clicking(seconds=2.4, click_s=1.2, seed=0):
    """Quiet noise with a click at a known time; int16 [1, samples]."""
    wave = np.random.default_rng(seed).normal(0, 0.002, round(seconds * RATE))
    wave[round(click_s * RATE) :][:80] = 0.8 * np.sin(2 * np.pi * 3000 * np.arange(80) / RATE)
    return np.int16(wave * 32767)[None]


def click_s(path):
    return np.flatnonzero(np.abs(media.read_audio(path)) > 0.3)[0] / RATE


def write_pcm(path, wave, stamps):
    """20 ms packets, each with its own stamp in samples, None leaves it out."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for index, stamp in enumerate(stamps):
            piece = wave[:, PACKET * index :][:, :PACKET]
            if stamp is None or not piece.size:
                continue
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, stamp, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_shown(path, sound):
    """Some pictures with that sound."""
    with media.VideoWriter(path, 16, 16, np.arange(60) / 25, audio_from=sound) as writer:
        for _ in range(60):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    return path


def test_lost_packets_leave_silence_and_move_nothing(tmp_path):
    lost = set(np.random.default_rng(1).choice(55, 20, replace=False))
    stamps = [None if i in lost and i else PACKET * i for i in range(120)]
    path = write_pcm(tmp_path / "lost.mkv", clicking(), stamps)
    wave = media.read_audio(path)
    assert len(wave) == pytest.approx(2.4 * RATE, abs=16)
    assert click_s(path) == pytest.approx(1.2, abs=1e-3)
    missing = sum(not wave[PACKET * i + 20 : PACKET * (i + 1) - 20].any() for i in range(120))
    assert missing == len(lost - {0})
    assert click_s(write_shown(tmp_path / "out.mp4", path)) == pytest.approx(1.2, abs=2e-3)


@pytest.mark.parametrize("factor", [0.95, 1.02, 1.002])
def test_drift_against_the_stamps_stays_small(tmp_path, factor):
    """A recorder's clock that is wrong: its samples are too many or too few for the time stamps."""
    path = write_pcm(tmp_path / "drift.mkv", clicking(), [round(PACKET * i * factor) for i in range(120)])
    assert click_s(path) == pytest.approx(1.2 * factor, abs=0.012)


def test_jitter_of_the_stamps_cuts_nothing(tmp_path):
    stamps = PACKET * np.arange(120) + np.random.default_rng(2).integers(0, 120, 120)
    stamps[0] = 0
    wave = clicking()
    back = media.read_audio(write_pcm(tmp_path / "jitter.mkv", wave, stamps.tolist()))
    np.testing.assert_allclose(back, wave[0] / 32768, atol=1e-4)


def test_one_wrong_stamp_moves_nothing(tmp_path):
    stamps = [PACKET * i for i in range(120)]
    stamps[40] = stamps[39] + 8
    stamps[80] = stamps[80] + 250
    wave = clicking()
    back = media.read_audio(write_pcm(tmp_path / "wrong.mkv", wave, stamps))
    np.testing.assert_allclose(back, wave[0] / 32768, atol=1e-4)


@pytest.mark.parametrize("suffix,codec,rate", [("wma", "wmav2", 48000), ("wav", "adpcm_ima_wav", 44100)])
def test_frames_without_stamps(tmp_path, suffix, codec, rate):
    wave = make_wave(2.0, rate)
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        resampler = av.AudioResampler(stream.codec_context.format, "mono", rate)
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate, frame.pts = rate, 0
        for part in resampler.resample(frame):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    assert len(media.read_audio(path)) == pytest.approx(2.0 * 16000, abs=0.1 * 16000)
    back = media.read_audio(write_shown(tmp_path / "out.mp4", path))
    assert np.corrcoef(back[4000:28000], media.read_audio(path)[4000:28000])[0, 1] > 0.97


def write_changing(path, layouts):
    """MP2 sound that changes its channels on the way, as broadcasts do, with a few pictures."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mp2", rate=48000, layout=layouts[0])
        start = 0
        for seed, layout in enumerate(layouts):
            encoder = av.CodecContext.create("mp2", "w")
            encoder.sample_rate, encoder.layout, encoder.format = 48000, layout, "s16"
            encoder.time_base = Fraction(1, 48000)
            wave = make_wave(0.6, 48000, len(av.AudioLayout(layout).channels), seed)
            frame = av.AudioFrame.from_ndarray(np.int16(wave.T.reshape(1, -1) * 30000), "s16", layout)
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            for packet in [*encoder.encode(frame), *encoder.encode(None)]:
                packet.stream = stream
                out.mux(packet)
            start += wave.shape[1]
    return path


def test_sound_that_changes_its_channels(tmp_path):
    path = write_changing(tmp_path / "in.ts", ["stereo", "mono", "stereo"])
    want = np.concatenate([make_wave(0.6, 48000, c, i).mean(axis=0) for i, c in enumerate((2, 1, 2))])
    for source in (path, write_shown(tmp_path / "out.mp4", path)):
        back, delay = media.read_audio(source), round(481 / 3)  # of the MP2 encoder
        for middle in (0.3, 0.9, 1.5):
            got = back[round(middle * 16000) - 1000 + delay :][:2000]
            assert np.corrcoef(got, want[round(middle * 48000) - 3000 :: 3][:2000])[0, 1] > 0.9, middle


@pytest.mark.parametrize(
    ("suffix", "sizes"),
    [("ts", [(64, 48), (64, 48)]), ("ts", [(64, 48), (48, 64)]), ("mkv", [(64, 48), (64, 48)])],
)
def test_joined_recordings_follow_each_other(tmp_path, suffix, sizes):
    """`cat a.ts b.ts`: time starts again in the middle. Pictures of another shape keep their aspect."""
    parts = [
        make_video(
            tmp_path / f"{i}.{suffix}",
            25,
            30,
            audio="aac",
            size=size,
            video_start_s=3 * i,
            audio_start_s=3 * i,
        )
        for i, size in reversed(list(enumerate(sizes)))
    ]
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    times = media.frame_times(joined)
    assert len(times) == 60
    np.testing.assert_allclose(np.diff(times), 0.04, atol=0.05)
    alone, both = media.read_audio(parts[0]), media.read_audio(joined)
    assert len(both) == pytest.approx(2 * len(alone), abs=1600)
    assert np.abs(both[len(alone) + 3000 :][:10000]).mean() > 0.05
    images = [frame.image for frame in media.read_frames(joined)]
    assert {image.shape for image in images} == {images[0].shape}
    if sizes[0] != sizes[1]:
        shown = images[-1].max(axis=2) > 40
        columns, rows = shown.any(axis=0).sum(), shown.any(axis=1).sum()
        assert columns / rows == pytest.approx(sizes[0][0] / sizes[0][1], rel=0.15)
    assert copy_through(joined, tmp_path / "out.mp4").frames == 60
    assert len(media.read_audio(tmp_path / "out.mp4")) == pytest.approx(len(both), abs=1600)


def test_joined_flac_files_are_both_heard(tmp_path):
    """Some frames about the second header are lost, as in other programs; the second sound is not."""
    for name, seed in (("a", 0), ("b", 1)):
        media.write_audio(tmp_path / f"{name}.flac", make_wave(2.0, 16000, seed=seed)[0], 16000)
    data = b"".join((tmp_path / f"{name}.flac").read_bytes() for name in "ab")
    (tmp_path / "both.flac").write_bytes(data)
    both, second = media.read_audio(tmp_path / "both.flac"), media.read_audio(tmp_path / "b.flac")
    assert 2.5 * 16000 < len(both) <= 4 * 16000
    np.testing.assert_allclose(both[-20000:], second[-20000:], atol=1e-3)
