"""Speech recognisers by name: each turns a waveform into words with times.

A recogniser is chosen by `recogniser`, which checks what it is given before anything slow begins. What it
needs beyond that (packages, models) is loaded by its first recording.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from lhg_jax.speech.cues import Word
from lhg_jax.util.errors import UserError
from lhg_jax.util.registry import require_known

Progress = Callable[[float], None]  # is given the fraction done, in [0, 1]


@runtime_checkable
class Recogniser(Protocol):
    """Words of a recording, in order; an empty list where nobody speaks."""

    def __call__(self, wave: Float[np.ndarray, "samples"], on_progress: Progress | None = None) -> list[Word]:
        """`wave` is 16 kHz mono in [-1, 1], of any level."""
        ...


def recogniser(name: str, model: Path | None = None, language: str | None = None) -> Recogniser:
    """A recogniser of `RECOGNISERS`.

    Args:
      name: by which the command line knows it.
      model: folder of its model, for those that bring none.
      language: code of the language that is spoken, e.g. `en`; None: found out, where it can be.

    Raises:
      UserError: an unknown name, a folder that is no model of that kind, or options that it has no use for.
    """
    require_known("recogniser", name, RECOGNISERS)
    return RECOGNISERS[name](model, language)


def no_words(wave: Float[np.ndarray, "samples"], on_progress: Progress | None = None) -> list[Word]:
    """Recognises nothing: the listener goes by the sound alone."""
    if on_progress is not None:
        on_progress(1.0)
    return []


def english(wave: Float[np.ndarray, "samples"], on_progress: Progress | None = None) -> list[Word]:
    """PocketSphinx's words (`sphinx.recognise`)."""
    from lhg_jax.speech.sphinx import recognise  # with JAX, which takes seconds to import

    return recognise(wave, on_progress)


def _pocketsphinx(model: Path | None, language: str | None) -> Recogniser:
    _refuse_model(model, "pocketsphinx")
    if language not in (None, "en"):
        raise UserError(
            f"--language {language}: PocketSphinx hears English only (take --asr whisper, or a transcript)"
        )
    return english


def _whisper(model: Path | None, language: str | None) -> Recogniser:
    from lhg_jax.speech.whisper import WhisperRecogniser

    if model is None:
        raise UserError("--asr whisper: needs --asr-model DIR, the folder of a faster-whisper model")
    return WhisperRecogniser(model, language)


def _none(model: Path | None, language: str | None) -> Recogniser:
    _refuse_model(model, "none")
    return no_words


def _refuse_model(model: Path | None, name: str) -> None:
    if model is not None:
        raise UserError(f"--asr-model {model}: is for --asr whisper, not for --asr {name}")


RECOGNISERS: dict[str, Callable[[Path | None, str | None], Recogniser]] = {
    "pocketsphinx": _pocketsphinx,
    "whisper": _whisper,
    "none": _none,
}
