"""Speech recognition by PocketSphinx and the US English model in its wheel: the default recogniser.

Long recordings go through in utterances that the voice activity detector cuts out, so that memory does not
grow with them and progress can be shown. The words are a rough transcript: give a transcript file if there is
one.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int16

from lhg_jax.speech.asr import Progress
from lhg_jax.speech.cues import Word
from lhg_jax.speech.log_mel import SAMPLE_RATE
from lhg_jax.util.errors import MissingExtraError

FRAME_S = 0.01  # of PocketSphinx
SILENCE_RMS = 10 ** (-60 / 20)  # a recording with no 30 ms louder than this holds no speech
PEAK = 0.5  # level to which recordings are brought
MAX_GAIN = 10 ** (30 / 20)  # so that the background of a quiet recording does not become loud
MAX_UTTERANCE_S = 15.0
PAUSE_S = 1.0  # speech after a shorter pause belongs to the same utterance
MARGIN_S = 0.2  # kept around speech: the detector is late at soft consonants


def recognise(wave: Float[np.ndarray, "samples"], on_progress: Progress | None = None) -> list[Word]:
    """Words of a recording, in order, lower case; an empty list where nobody speaks.

    Args:
      wave: 16 kHz mono in [-1, 1], any level.
      on_progress: called with the fraction done, in [0, 1], after each utterance.

    Raises:
      MissingExtraError: PocketSphinx is not installed.
    """
    try:
        import pocketsphinx
    except ImportError:
        raise MissingExtraError("speech recognition (PocketSphinx)", "pipeline") from None
    pcm = _levelled(wave)
    words: list[Word] = []
    decoder = None
    for start, end in _utterances(pcm, pocketsphinx):
        if decoder is None:  # 0.2 s; silence needs none
            # 30000 active states by default: 5000 are as accurate on our test speech and a sixth faster.
            decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, maxhmmpf=5000, loglevel="FATAL")
        words += _decode(decoder, pcm[start:end], start / SAMPLE_RATE)
        if on_progress is not None:
            on_progress(end / len(pcm))
    if on_progress is not None:
        on_progress(1.0)
    return words


def _levelled(wave: Float[np.ndarray, "samples"]) -> Int16[np.ndarray, "samples"]:
    """16-bit samples at a good level; all zeros where the recording is silent throughout."""
    block = round(0.03 * SAMPLE_RATE)
    blocks = wave[: len(wave) // block * block].reshape(-1, block)
    rms = np.sqrt(np.einsum("bn,bn->b", blocks, blocks) / block)  # no copy of a long recording
    if rms.max(initial=0) < SILENCE_RMS:
        return np.zeros(len(wave), np.int16)
    gain = min(MAX_GAIN, PEAK / max(wave.max(), -wave.min()))
    return (wave * np.float32(gain * 32767)).astype(np.int16)


def _utterances(pcm: Int16[np.ndarray, "samples"], pocketsphinx: Any) -> Iterator[tuple[int, int]]:
    """Start and end samples of stretches with speech, at most 15 s each, in order."""
    margin, longest = round(MARGIN_S * SAMPLE_RATE), round(MAX_UTTERANCE_S * SAMPLE_RATE)
    utterances: list[tuple[int, int]] = []
    for start, end in _speech(pcm, pocketsphinx):
        start, end = max(0, start - margin), min(len(pcm), end + margin)
        if utterances and start - utterances[-1][1] < PAUSE_S * SAMPLE_RATE:
            start = utterances.pop()[0]
        utterances.append((start, end))
    for start, end in utterances:
        while end - start > longest:
            cut = _quietest(pcm, start + longest // 2, start + longest)
            yield start, cut
            start = cut
        yield start, end


def _speech(pcm: Int16[np.ndarray, "samples"], pocketsphinx: Any) -> Iterator[tuple[int, int]]:
    """Start and end samples of what the voice activity detector takes for speech."""
    detector = pocketsphinx.Endpointer(sample_rate=SAMPLE_RATE)
    size = detector.frame_bytes // 2
    speaking = False
    for first in range(0, len(pcm), size):
        frame = pcm[first : first + size].tobytes()
        listen = detector.process if first + size < len(pcm) else detector.end_stream
        listen(frame)
        if speaking and not detector.in_speech:
            yield round(detector.speech_start * SAMPLE_RATE), round(detector.speech_end * SAMPLE_RATE)
        speaking = detector.in_speech


def _quietest(pcm: Int16[np.ndarray, "samples"], start: int, end: int) -> int:
    """The middle of the quietest 0.2 s between two samples: a place to cut."""
    width = round(0.2 * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(pcm[start:end].astype(np.float64) ** 2)])
    return start + int(np.argmin(energy[width:] - energy[:-width])) + width // 2


def _decode(decoder: Any, pcm: Int16[np.ndarray, "samples"], start_s: float) -> list[Word]:
    """Words of one utterance that begins at `start_s`."""
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    return [
        Word(
            re.sub(r"\(\d+\)$", "", segment.word),  # read(2): its second pronunciation
            start_s + segment.start_frame * FRAME_S,
            start_s + (segment.end_frame + 1) * FRAME_S,
        )
        for segment in decoder.seg()
        if segment.word[0] not in "<[+"  # <s>, <sil>, [NOISE], ++BREATH++
    ]
