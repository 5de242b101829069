"""Speech recognition by Whisper (Radford et al. 2022), run by faster-whisper: any language, with word times.

The folder of a model is given; nothing is downloaded. Its voice activity detector (Silero, in the wheel of
faster-whisper) cuts out music, noise and silence, in which Whisper alone would hear sentences.
"""

import dataclasses
import functools
import importlib.util
import logging
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lhg_jax.speech.asr import Progress
from lhg_jax.speech.cues import Cue, Word
from lhg_jax.util.errors import MissingExtraError, UserError

# Without tokenizer.json, faster-whisper would fetch one.
FILES = ("model.bin", "config.json", "tokenizer.json")
# What Whisper itself takes for no speech is left out where its words are less likely than this (mean log of
# a token's probability; its default is -1). "You" in music, which its detector let through, had -0.95.
UNLIKELY = -0.7


@dataclasses.dataclass(frozen=True)
class WhisperRecogniser:
    """A recogniser (`asr.Recogniser`) that may travel to another process; the model is loaded there.

    Attributes:
      folder: of a model as faster-whisper and CTranslate2 keep it.
      language: code of what is spoken; None: the model finds it out in each recording.
    """

    folder: Path
    language: str | None = None

    def __post_init__(self) -> None:
        """Raises `UserError` where the folder is no model or the extra is not installed."""
        if missing := [name for name in FILES if not (self.folder / name).is_file()]:
            lacks = " and no ".join(missing)
            raise UserError(
                f"{self.folder}: no {lacks} (--asr-model is the folder of a faster-whisper model)"
            )
        if importlib.util.find_spec("faster_whisper") is None:
            raise MissingExtraError("--asr whisper", "whisper")

    def __call__(self, wave: Float[np.ndarray, "samples"], on_progress: Progress | None = None) -> list[Word]:
        """See `asr.Recogniser`. The same recording gives the same words: nothing is drawn at random.

        Raises:
          UserError: a model that cannot be read, or does not know the language.
        """
        from faster_whisper.vad import get_speech_timestamps

        words: list[Word] = []
        if get_speech_timestamps(wave):
            segments, info = self._transcribe(wave)
            for segment in segments:
                for heard in segment.words:
                    words += Cue(heard.word, heard.start, max(heard.start, heard.end)).words()
                if on_progress is not None:
                    on_progress(min(segment.end / info.duration, 1.0))
        if on_progress is not None:
            on_progress(1.0)
        return words

    def _transcribe(self, wave: Float[np.ndarray, "samples"]) -> Any:
        """(segments one by one, what is known of all). No text leads the next one: repeats would not end."""
        model = _load(self.folder)
        if self.language is not None and self.language not in model.supported_languages:
            known = ", ".join(model.supported_languages)
            raise UserError(f"--language {self.language}: {self.folder} knows {known}")
        return model.transcribe(
            wave,
            language=self.language,
            word_timestamps=True,
            vad_filter=True,
            temperature=0.0,
            log_prob_threshold=UNLIKELY,
            condition_on_previous_text=False,
        )


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> Any:
    """The model, on the CPU: a GPU is JAX's. Its numbers are of the type that they were saved in."""
    import ctranslate2
    from faster_whisper import WhisperModel

    ctranslate2.set_log_level(logging.ERROR)  # it warns where a CPU computes float16 as float32
    try:
        return WhisperModel(str(folder), device="cpu", compute_type="default", local_files_only=True)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder}: not a model that faster-whisper reads ({reason})") from None
