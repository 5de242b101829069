"""Small clips, made by PyAV alone, and the job of reading and writing one: shared by the tests of media."""

from fractions import Fraction

import av
import numpy as np

from lhg_jax import media

WIDTH, HEIGHT = 64, 48


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
