"""Recordings made ready for the simulator, once each: decoded, aligned, pitch tracked, kept in a folder."""

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.media.audio import SAMPLE_RATE, read_audio
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.speech_folder import Recording, shared_out
from lhg_jax.preparation.word_alignment import align
from lhg_jax.simulator.human_voice import VoiceRecording, analyse, at_speed
from lhg_jax.simulator.speech import SpokenPhrase
from lhg_jax.speech.words import Word
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import MissingExtraError, UserError
from lhg_jax.util.progress import StageTimes
from lhg_jax.util.workers import worker_environment

VERSION = 2  # of what is in the files

# Speakers of each split, in order of a hash of their names: stable, and no speaker is in two.
SHARES = {"test": 0.1, "valid": 0.1}


@dataclasses.dataclass(frozen=True)
class Voice:
    """A speaker and the files (of `prepare_voices`) of the recordings, and how fast they are played."""

    speaker: str
    files: tuple[Path, ...]
    speed: float = 1.0

    def load(self) -> list[VoiceRecording]:
        """All recordings, in order."""
        return [at_speed(load_recording(path), self.speed) for path in self.files]


def prepare_voices(
    recordings: Sequence[Recording], folder: Path, workers: int
) -> tuple[list[Voice], list[LeftOut]]:
    """Analyses recordings that are not in `folder` yet, with a progress bar; what cannot be read is left out.

    Args:
      recordings: of `speech_folder.read_speech_folder`.
      folder: for one file a recording; may be shared between data sets.
      workers: processes.
    """
    files = {recording: _path(recording, folder) for recording in recordings}
    missing = {recording: path for recording, path in files.items() if not path.exists()}
    reasons: dict[Recording, str] = {}
    with StageTimes().stage("recordings", total=len(files)) as advance:
        for _ in range(len(files) - len(missing)):
            advance()
        finished = _in_processes if min(workers, len(missing)) > 1 else _in_order
        for recording, reason in finished(missing, workers):
            if reason:
                reasons[recording] = reason
            advance()
    voices: dict[str, list[Path]] = {}
    for recording, path in files.items():
        if recording not in reasons:
            voices.setdefault(recording.speaker, []).append(path)
    left_out = [LeftOut(recording.path.name, reason) for recording, reason in reasons.items()]
    return [Voice(speaker, tuple(paths)) for speaker, paths in voices.items()], left_out


def _in_order(jobs: Mapping[Recording, Path], _: int) -> Iterator[tuple[Recording, str]]:
    for recording, path in jobs.items():
        yield recording, _prepare(recording, path)


def _in_processes(jobs: Mapping[Recording, Path], workers: int) -> Iterator[tuple[Recording, str]]:
    context = multiprocessing.get_context("spawn")
    with worker_environment(), concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        futures = {pool.submit(_prepare, recording, path): recording for recording, path in jobs.items()}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()


def voices_of_split(
    voices: Iterable[Voice], split: str, part: tuple[float, float] = (0.0, 1.0)
) -> list[Voice]:
    """The voices of a split, a tenth for validation and a tenth for the test, in the order of their hashes.

    Args:
      voices: all of them.
      split: train, valid or test.
      part: keeps only those from one to another share of the split, e.g. (0, 0.5) and (0.5, 1) for two
        halves without a common speaker.
    """
    ordered = sorted(voices, key=lambda voice: hashlib.sha256(voice.speaker.encode()).hexdigest())
    first, groups = 0, {}
    for name, share in SHARES.items():
        count = int(share * len(ordered))
        groups[name] = ordered[first : first + count]
        first += count
    groups["train"] = ordered[first:]
    chosen = groups[split]
    return chosen[round(part[0] * len(chosen)) : round(part[1] * len(chosen))]


def _path(recording: Recording, folder: Path) -> Path:
    """Named by what the file holds and how, so that a changed recording is analysed again."""
    status = recording.path.stat()
    description = (VERSION, str(recording), status.st_size, status.st_mtime_ns)
    return folder / f"{hashlib.sha256(repr(description).encode()).hexdigest()[:24]}.npz"


def _prepare(recording: Recording, path: Path) -> str:
    """Writes a recording's file; returns why there is none, or nothing."""
    try:
        wave = _own_speech(read_audio(recording.path), recording)
        save_recording(path, analyse(wave, _timed_words(wave, recording)))
    except MissingExtraError:
        raise
    except UserError as error:
        return str(error)
    return ""


def _own_speech(wave: Float[np.ndarray, "samples"], recording: Recording) -> Float[np.ndarray, "samples"]:
    """Silence where others speak."""
    if not recording.spans:
        return wave
    own = np.zeros(len(wave), bool)
    for start_s, end_s in recording.spans:
        own[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)] = True
    return np.where(own, wave, np.float32(0))


def _timed_words(wave: Float[np.ndarray, "samples"], recording: Recording) -> tuple[Word, ...]:
    """The words with times: given, aligned, or (where alignment fails) in proportion to their letters.

    None for another language than English, which nothing here understands.
    """
    if not recording.english:
        return ()
    if recording.words or not recording.text.strip():
        return recording.words
    return tuple(align(wave, recording.text) or shared_out(recording.text, 0.0, len(wave) / SAMPLE_RATE))


def save_recording(path: Path, recording: VoiceRecording) -> None:
    """Writes an analysed recording (arrays and JSON, no pickles), atomically."""
    phrases = [(phrase.start_s, phrase.end_s, phrase.complete) for phrase in recording.phrases]
    words = [(word.text, word.start_s, word.end_s) for word in recording.words]
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            wave=np.round(recording.wave * 32767).astype(np.int16),
            f0=recording.f0.astype(np.float32),
            speaking=recording.speaking,
            texts=json.dumps({"words": words, "phrases": phrases}),
        )


def load_recording(path: Path) -> VoiceRecording:
    """Reads what `save_recording` wrote."""
    with np.load(path, allow_pickle=False) as file:
        texts = json.loads(str(file["texts"]))
        return VoiceRecording(
            wave=file["wave"].astype(np.float32) / 32767,
            f0=file["f0"].astype(np.float64),
            speaking=file["speaking"],
            words=tuple(Word(*word) for word in texts["words"]),
            phrases=tuple(SpokenPhrase(*phrase) for phrase in texts["phrases"]),
        )
