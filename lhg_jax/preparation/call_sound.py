"""When each side of a recorded call speaks: listened to once, kept in a file."""

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lhg_jax.media import SAMPLE_RATE
from lhg_jax.media.audio import Block, stream_audio
from lhg_jax.preparation.excerpts import View
from lhg_jax.preparation.turns import Span
from lhg_jax.preparation.voice_activity import SpeechMeter
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import MissingExtraError, UserError
from lhg_jax.util.progress import StageTimes
from lhg_jax.util.workers import worker_environment

VERSION = 1  # of what is in the files
SIDES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class Call:
    """Where each side is seen and heard: files and, in a common sound file, channels."""

    name: str
    views: dict[str, View]
    sounds: dict[str, Path]
    channels: dict[str, int | None]


@dataclasses.dataclass(frozen=True)
class Heard:
    """When each of `SIDES` speaks in a recording of so many seconds; or the reason why that is not known."""

    seconds: float = 0.0
    spans: tuple[tuple[Span, ...], ...] = ()
    reason: str = ""


def hear_calls(calls: Sequence[Call], folder: Path, workers: int) -> list[Heard]:
    """What is heard in each call, with a progress bar; recordings whose file is in `folder` are not read.

    Raises `MissingExtraError` without the voice activity detector.
    """
    paths = [_path(call, folder) for call in calls]
    missing = [(call, path) for call, path in zip(calls, paths, strict=True) if not path.exists()]
    with StageTimes().stage("recordings", total=len(calls)) as advance:
        for _ in range(len(calls) - len(missing)):
            advance()
        if min(workers, len(missing)) > 1:
            context = multiprocessing.get_context("spawn")
            with worker_environment(), concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
                for future in concurrent.futures.as_completed([pool.submit(_hear, *job) for job in missing]):
                    future.result()
                    advance()
        else:
            for job in missing:
                _hear(*job)
                advance()
    return [_load(path) for path in paths]


def _path(call: Call, folder: Path) -> Path:
    """Named by the recordings, so that a changed one is listened to again."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in call.sounds.values()]
    description = (VERSION, stats, call.channels)
    return folder / f"{hashlib.sha256(repr(description).encode()).hexdigest()[:24]}.json"


def _hear(call: Call, path: Path) -> None:
    """Writes what is heard in a call."""
    try:
        heard = listen(call)
    except MissingExtraError:
        raise
    except UserError as error:
        heard = Heard(reason=str(error))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(heard)), encoding="utf-8")


def _load(path: Path) -> Heard:
    row = json.loads(path.read_text(encoding="utf-8"))
    spans = tuple(tuple(Span(*span) for span in side) for side in row["spans"])
    return Heard(row["seconds"], spans, row["reason"])


def listen(call: Call) -> Heard:
    """Both sides' sound. Raises `UserError` where it does not tell the two people apart."""
    meter = SpeechMeter(len(SIDES))
    if call.channels["left"] is None:
        meter.hear(_beside(*(call.sounds[side] for side in SIDES)))
    else:
        meter.hear(_stereo(call.sounds["left"]))
    if meter.is_one_voice_twice:
        raise UserError("the two people's sound is the same: who speaks when cannot be told")
    return Heard(meter.seconds, tuple(map(tuple, meter.spans())))


def _stereo(path: Path) -> Iterator[Block]:
    for block in stream_audio(path, SAMPLE_RATE):
        if block.shape[1] != len(SIDES):
            raise UserError(f"{path}: has {block.shape[1]} channels of sound, not one for each person")
        yield block


def _beside(left: Path, right: Path) -> Iterator[Block]:
    """Two files as the channels of one, until the shorter one ends."""
    streams = [stream_audio(path, SAMPLE_RATE) for path in (left, right)]
    rest = [np.zeros(0, np.float32) for _ in SIDES]
    while True:
        for side, stream in enumerate(streams):
            if not len(rest[side]):
                block = next(stream, None)
                if block is None:
                    return
                rest[side] = block.mean(axis=1)
        count = min(map(len, rest))
        yield np.stack([wave[:count] for wave in rest], axis=1)
        rest = [wave[count:] for wave in rest]
