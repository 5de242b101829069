"""Writing video: H.264 in mp4 with given time stamps and sound, complete or not at all."""

import contextlib
import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.media import libav
from lhg_jax.media.probing import probe
from lhg_jax.media.soundtrack import ArraySoundtrack, FileSoundtrack, Soundtrack
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError

SUFFIXES = (".mp4", ".m4v", ".mov")
ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first that this FFmpeg has
# No B-frames: packets leave in the order of their frames, and each carries its own time and duration.
ENCODER_OPTIONS = {"libx264": {"crf": "18", "preset": "veryfast", "bf": "0"}}
# Ticks/s tried in turn until all time stamps are whole; film and television rates first.
TIME_SCALES = (30_000, 24_000, 90_000, 60_000, 1_000, 12_800, 15_360, 44_100, 48_000)
FINE_TIME_SCALE = 1_000_000  # ticks/s where none of them fits: rounds by half a microsecond at most
LARGEST = 36_864  # blocks of 16 x 16 pixels in a picture of level 5.2, the highest that most players take
DEFAULT_FRAME_S = 1 / 25  # how long a single frame of unknown duration lasts, seconds
ITU709 = 1  # colour matrix, primaries and transfer in H.264's numbering; said in the file


def video_encoder() -> str:
    """Name of the encoder that `VideoWriter` uses: libx264, or a fallback that it warns of."""
    for name in ENCODERS:
        with contextlib.suppress(ValueError):
            libav.av.codec.Codec(name, "w")
            return name
    raise UserError(f"FFmpeg: none of the video encoders {', '.join(ENCODERS)} is built in (pip install av)")


def time_scale(times_s: Float[np.ndarray, "times"]) -> int:
    """The first tick rate (ticks/s) on which all times fall, within the rounding of float64."""
    for scale in TIME_SCALES:
        ticks = times_s * scale
        if np.abs(ticks - np.round(ticks)).max() < 1e-6 * scale / 1_000:
            return scale
    return FINE_TIME_SCALE


class VideoWriter:
    """Streams frames into an mp4 file that ordinary players play (H.264, yuv420p, index at the front).

    Use as a context manager. The file appears under its name when the block ends; if it ends by an
    exception, an interrupt included, nothing appears and an older file stays as it was.

    H.264 with 4:2:0 chroma needs even sizes: of odd ones the last column or row is repeated once.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        times_s: Float[np.ndarray, "frames"],
        audio_from: str | os.PathLike | None = None,
        audio: Float[np.ndarray, "samples"] | None = None,
        end_s: float | None = None,
    ):
        """Creates the output's folder and a hidden temporary file in it.

        Args:
          path: output, `.mp4` (or .m4v, .mov). Missing folders are created.
          width, height: of the images that will be written, pixels.
          times_s: when each frame is shown, seconds, increasing, e.g. `frame_times(speaker)`.
          audio_from: file whose sound is kept, packet by packet where mp4 can hold its codec. All of it:
            sound longer than the video makes the file longer.
          audio: instead, a mono wave at 16 kHz in [-1, 1], its first sample at time 0.
          end_s: when the last frame stops being shown. By default as in `audio_from` if that is a video of
            as many frames, else the last frame lasts as long as the one before it.

        Raises:
          UserError: the output cannot be written or the sound not be read.
        """
        if Path(path).suffix.lower() not in SUFFIXES:
            raise UserError(f"{path}: video is written as {', '.join(SUFFIXES)}")
        if audio_from is not None and audio is not None:
            raise ValueError("give audio_from or audio, not both")
        if not len(times_s) or not (np.diff(times_s) > 0).all():
            raise ValueError("times_s must hold at least one time and increase")
        self.path = path
        self._shape = (height, width, 3)
        self._written = 0
        self._bounds_s = np.append(times_s, _end(times_s, audio_from) if end_s is None else end_s)
        self._scale = time_scale(self._bounds_s)
        self._ticks = np.round(self._bounds_s * self._scale).astype(np.int64)
        with contextlib.ExitStack() as stack:
            self._open(stack, audio_from, audio)
            self._stack = stack.pop_all()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with libav.user_errors(self.path, "write"):
            if kind is None:
                try:
                    self._finish()
                except BaseException as failure:
                    self._stack.__exit__(type(failure), failure, failure.__traceback__)
                    raise
            self._stack.__exit__(kind, error, trace)

    def write(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Appends one RGB frame, shown from the next of `times_s` on. Raises ValueError for a wrong shape."""
        if image.shape != self._shape or self._written >= len(self._ticks) - 1:
            raise ValueError(
                f"frame {self._written} of {len(self._ticks) - 1} has shape {image.shape}, "
                f"expected {self._shape}"
            )
        odd = [(0, size % 2) for size in self._shape[:2]]
        if any(pad for _, pad in odd):
            image = np.pad(image, [*odd, (0, 0)], mode="edge")
        with libav.user_errors(self.path, "write"):
            frame = libav.av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = self._written, self._video.codec_context.time_base
            self._mux_video(self._video.encode(frame))
        self._written += 1

    def _open(self, stack: contextlib.ExitStack, audio_from: Any, audio: Any) -> None:
        temporary = stack.enter_context(replacing(self.path))
        # A track's late start is counted in ticks of the movie, 1 ms by default.
        options = {"movflags": "faststart", "movie_timescale": str(self._scale)}
        with libav.user_errors(self.path, "write"):
            self._output = stack.enter_context(
                libav.av.open(libav.url(temporary), "w", format="mp4", container_options=options)
            )
            self._video = self._add_video()
        self._sound: Soundtrack | None = None
        if audio_from is not None:
            self._sound = FileSoundtrack(audio_from, self._output)
        elif audio is not None:
            self._sound = ArraySoundtrack(audio, self._output)
        if self._sound is not None:
            stack.callback(self._sound.close)
        self._sound_packets = self._sound.packets() if self._sound is not None else iter(())
        self._next_sound = next(self._sound_packets, None)

    def _add_video(self) -> Any:
        name, (height, width, _) = video_encoder(), self._shape
        if name != ENCODERS[0]:
            logging.getLogger(__name__).warning("libx264 is missing: %s is written by %s", self.path, name)
        if -(-width // 16) * -(-height // 16) > LARGEST:
            logging.getLogger(__name__).warning(
                "%s: few players show pictures of %d x %d pixels", self.path, width, height
            )
        span_s = float(self._bounds_s[-1] - self._bounds_s[0])
        rate = Fraction((len(self._ticks) - 1) / span_s).limit_denominator(1001)
        stream = self._output.add_stream(name, rate=rate, options=ENCODER_OPTIONS.get(name, {}))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # The encoder counts frames; their real times are put on its packets.
        context.time_base = 1 / rate
        stream.time_base = Fraction(1, self._scale)
        context.colorspace = context.color_primaries = context.color_trc = ITU709
        context.color_range = 1  # limited ("MPEG")
        return stream

    def _mux_video(self, packets: list[Any]) -> None:
        for packet in packets:
            index = packet.pts
            packet.time_base = Fraction(1, self._scale)
            packet.pts = packet.dts = int(self._ticks[index])
            packet.duration = int(self._ticks[index + 1] - self._ticks[index])
            self._mux_sound_before(float(self._bounds_s[index]))
            self._output.mux(packet)

    def _mux_sound_before(self, time_s: float) -> None:
        """Sound goes in as the video does, so that neither waits in memory for the other."""
        while (
            self._next_sound is not None and float(self._next_sound.dts * self._next_sound.time_base) < time_s
        ):
            self._output.mux(self._next_sound)
            self._next_sound = next(self._sound_packets, None)

    def _finish(self) -> None:
        if self._written != len(self._ticks) - 1:
            raise ValueError(f"{self.path}: {self._written} of {len(self._ticks) - 1} frames were written")
        self._mux_video(self._video.encode(None))
        self._mux_sound_before(float("inf"))


def _end(times_s: Float[np.ndarray, "frames"], audio_from: str | os.PathLike | None) -> float:
    if audio_from is not None:
        info = probe(audio_from)
        if info.frames == len(times_s) and info.video_end_s > times_s[-1]:
            return info.video_end_s
    return float(times_s[-1] + (times_s[-1] - times_s[-2] if len(times_s) > 1 else DEFAULT_FRAME_S))
