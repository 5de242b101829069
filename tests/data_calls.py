"""Recorded calls of two people who speak in turn, and what can be wrong with them."""

from pathlib import Path

import av
import numpy as np

import lhg_jax
from lhg_jax import media

SECONDS = 30
SIDES = ("left", "right")
STARTS_S = {"left": 1.0, "right": 16.0}  # of 12 s of speech
RATE = 16000


def voices(bleed: float = 0.05) -> dict[str, np.ndarray]:
    """Each side's microphone: own speech, the other's faintly, noise."""
    speech = media.read_audio(Path(lhg_jax.__file__).parent / "assets" / "demo_speech.flac")[: 12 * RATE]
    alone = {side: np.zeros(SECONDS * RATE, np.float32) for side in SIDES}
    for side, start_s in STARTS_S.items():
        alone[side][round(start_s * RATE) :][: len(speech)] = speech
    noise = np.random.default_rng(0).normal(0, 1e-3, (2, SECONDS * RATE)).astype(np.float32)
    left, right = alone["left"], alone["right"]
    return {"left": left + bleed * right + noise[0], "right": right + bleed * left + noise[1]}


def write_video(path: Path, levels: tuple[int, ...], channels: list[np.ndarray] | None = None) -> Path:
    """10 frames/s; each of `levels` is the brightness of an equal part of the width, rising by 2 a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 32 * len(levels), 32, "yuv420p"
        layout = "mono" if channels is not None and len(channels) == 1 else "stereo"
        sound = out.add_stream("aac", rate=RATE, layout=layout) if channels is not None else None
        for number in range(10 * SECONDS):
            row = np.repeat([level + 2 * (number // 10) for level in levels], 32).astype(np.uint8)
            image = np.repeat(np.tile(row, (32, 1))[..., None], 3, axis=2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
        if sound is not None and channels is not None:
            frame = av.AudioFrame.from_ndarray(np.stack(channels).astype(np.float32), "fltp", layout)
            frame.sample_rate = RATE
            out.mux([*sound.encode(frame), *sound.encode(None)])
    return path


def write_call(folder: Path, name: str = "call", **changes) -> Path:
    """A call in one file, a channel for each person."""
    return write_video(folder / f"{name}.mp4", (40, 140), list(voices(**changes).values()))


def write_tracks(folder: Path, name: str = "tracks") -> None:
    """A call in two files."""
    for side, level in zip(SIDES, (40, 140), strict=True):
        write_video(folder / f"{name}.{side}.mp4", (level,), [voices()[side]])


def damage(folder: Path) -> dict[str, str]:
    """Adds a call of each kind that cannot be used; returns what the report must say of each."""
    heard = voices()
    for name in ("onesided", "onewave", "halfwave"):
        write_tracks(folder, name)
    (folder / "onesided.right.mp4").unlink()
    media.write_audio(folder / "onewave.left.wav", heard["left"], RATE)
    media.write_audio(folder / "halfwave.left.wav", heard["left"], RATE)
    (folder / "halfwave.right.wav").write_bytes(b"RIFF")
    write_video(folder / "mono.mp4", (40, 140), [heard["left"] + heard["right"]])
    write_video(folder / "same.mp4", (40, 140), [heard["left"] + heard["right"]] * 2)
    write_video(folder / "silent.mp4", (40, 140))
    write_video(folder / "hushed.mp4", (40, 140), [heard["left"] * 0, heard["right"] * 0])
    write_video(folder / "both.mp4", (40, 140), [heard["left"], np.roll(heard["right"], -15 * RATE)])
    (folder / "empty.mp4").touch()
    (folder / "broken.mp4").write_bytes(b"not a video" * 100)
    return {
        "onesided": "onesided.right.mp4 is missing",
        "onewave": "onewave.right.wav is missing",
        "halfwave": "not a media file, or damaged",
        "mono": "has 1 channels of sound, not one for each person",
        "same": "the two people's sound is the same",
        "silent": "has no sound",
        "hushed": "nobody speaks for 8 s while the other listens",
        "both": "nobody speaks for 8 s while the other listens",
        "empty": "is empty (0 bytes)",
        "broken": "not a media file, or damaged",
    }
