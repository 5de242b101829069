"""A voice for synthetic speech: espeak-ng through ctypes, with the time of every word and phoneme.

espeak-ng (GPL-3.0-or-later) is a separate, optional library that is only called while data are made
(extra `synthetic`); nothing of it is part of lhg_jax. Its random state (flutter, breath, echo) survives
re-initialisation, so `Espeak` loads the library afresh (POSIX): the same calls then give the same bytes.
"""

import _ctypes
import ctypes
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from lhg_jax.util.errors import MissingExtraError, UserError

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback before espeak_Synth returns
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_UTF8, _SSML, _POSITION_CHARACTER = 1, 0x10, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_END, _WORD, _PHONEME = 0, 1, 7


@dataclasses.dataclass(frozen=True)
class VoiceSettings:
    """How a phrase is spoken.

    Attributes:
      name: an espeak-ng voice, with its variant after the plus, e.g. 'en-us+f2'.
      rate: words/min, 80-450.
      pitch: base pitch of the voice, 0-100 (50 = the variant's own).
      pitch_range: liveliness of the intonation, 0-100 (50 = the variant's own).
    """

    name: str
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50


@dataclasses.dataclass(frozen=True)
class Token:
    """A word to be spoken. `pitch_percent`, -80 to 100, moves the pitch setting (-35: F0 15 % lower)."""

    text: str
    pitch_percent: int = 0


@dataclasses.dataclass(frozen=True)
class Span:
    """A word or phoneme (espeak-ng mnemonic, stress marks left out) from `start_s` to `end_s` seconds."""

    text: str
    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One spoken phrase: samples in [-1, 1], and one `Span` for each token and each phoneme."""

    samples: Float[np.ndarray, "samples"]
    sample_rate: int
    words: tuple[Span, ...]
    phonemes: tuple[Span, ...]


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """A freshly loaded espeak-ng; use as a context manager, one at a time in a process.

    Raises `MissingExtraError` without the package espeakng-loader.
    """

    def __init__(self, seed: int = 0):
        try:
            import espeakng_loader
        except ImportError as error:
            raise MissingExtraError("synthetic speech", "synthetic") from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise UserError(f"espeak-ng does not start with the data in {data.decode()}")
        self._chunks: list[np.ndarray] = []
        self._events: list[tuple[int, int, int, str]] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))

    def __enter__(self) -> "Espeak":
        return self

    def __exit__(self, *exception):
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._library._handle)  # forgets the random state

    def speak(self, tokens: Sequence[Token], end: str, settings: VoiceSettings) -> Utterance:
        """Speaks one phrase that ends in `end` ('.', ',', '?' or '!'), which sets its intonation."""
        self._configure(settings)
        ssml, positions = _markup(tokens, end)
        text = ssml.encode()
        self._chunks, self._events = [], []
        status = self._library.espeak_Synth(
            text, len(text) + 1, 0, _POSITION_CHARACTER, 0, _UTF8 | _SSML, None, None
        )
        if status != 0 or not self._chunks:
            raise UserError(f"espeak-ng cannot speak {ssml!r} (status {status})")
        samples = np.concatenate(self._chunks).astype(np.float32) / 32768
        return Utterance(samples, self.sample_rate, self._words(tokens, positions), self._phonemes())

    def _configure(self, settings: VoiceSettings) -> None:
        if self._library.espeak_SetVoiceByName(settings.name.encode()) != 0:
            raise UserError(f"espeak-ng has no voice {settings.name!r}")
        parameters = ((_RATE, settings.rate), (_PITCH, settings.pitch), (_RANGE, settings.pitch_range))
        for parameter, value in parameters:
            self._library.espeak_SetParameter(parameter, value, 0)

    def _collect(self, samples, count, events) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in itertools.takewhile(
            lambda event: event.type != _END, map(events.__getitem__, itertools.count())
        ):
            name = event.id.string.decode() if event.type == _PHONEME else ""
            self._events.append((event.type, event.text_position, event.sample, name))
        return 0

    def _end_s(self) -> float:
        return sum(map(len, self._chunks)) / self.sample_rate

    def _phonemes(self) -> tuple[Span, ...]:
        events = [
            (sample / self.sample_rate, name) for kind, _, sample, name in self._events if kind == _PHONEME
        ]
        ends = [start for start, _ in events[1:]] + [self._end_s()]
        spans = (Span(name.strip("',"), start, end) for (start, name), end in zip(events, ends, strict=True))
        return tuple(span for span in spans if not span.text.startswith("_"))  # '_', '_:' are pauses

    def _words(self, tokens: Sequence[Token], positions: Sequence[int]) -> tuple[Span, ...]:
        """One span a token. espeak-ng speaks some pairs ('of the') as one word: these share its time."""
        starts = {place - 1: sample for kind, place, sample, _ in self._events if kind == _WORD}
        phonemes = self._phonemes()
        known = [i for i, place in enumerate(positions) if place in starts or i == 0]
        times = [starts.get(positions[i], 0) / self.sample_rate for i in known] + [phonemes[-1].end_s]
        letters = np.cumsum([0] + [len(token.text) for token in tokens])
        edges = np.interp(letters, letters[[*known, len(tokens)]], times)
        return tuple(
            Span(token.text, float(start), float(end))
            for token, start, end in zip(tokens, edges, edges[1:], strict=False)
        )


def _markup(tokens: Sequence[Token], end: str) -> tuple[str, list[int]]:
    """SSML of a phrase, and the character at which each token starts. ValueError on markup in a token."""
    ssml, positions = "", []
    for pitch, group in itertools.groupby(tokens, key=lambda token: token.pitch_percent):
        ssml += f'<prosody pitch="{pitch:+d}%">' if pitch else ""
        for token in group:
            if set(token.text) & set('<>&" '):
                raise ValueError(f"{token.text!r} is not one word")
            positions.append(len(ssml))
            ssml += token.text + " "
        ssml = ssml.rstrip() + ("</prosody> " if pitch else " ")
    return ssml.rstrip() + end, positions
