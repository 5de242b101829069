"""Synthetic dyads as clips to be made; apart from the simulator, which needs no text encoder."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lhg_jax.contract import Example, spec_to_json
from lhg_jax.data.schema import ClipInfo, assemble, presumed_features
from lhg_jax.moving_anchor import relative_to_anchor
from lhg_jax.preparation.stage_clock import timed
from lhg_jax.preparation.voices import Voice
from lhg_jax.simulator.dyads import (
    Dyad,
    DyadParams,
    dyads_for_hours,
    name_of,
    split_seed,
    synthesise,
    synthesise_human,
    synthesise_human_rules,
    synthesise_varied,
)
from lhg_jax.simulator.examples import make_example
from lhg_jax.simulator.speech import SpeechParams
from lhg_jax.speech.bert import shared_encoder
from lhg_jax.speech.causal import PrefixEncoder, causal_spec, extract_causal_speech
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.speech.words import to_json
from lhg_jax.util.errors import UserError

Listeners = Literal["varied", "constant"]
# Whether the voice is recorded, and who listens -> first word of the dyad's name.
KINDS: dict[tuple[bool, Listeners], str] = {
    (True, "varied"): "human",
    (True, "constant"): "rules",
    (False, "varied"): "varied",
    (False, "constant"): "synthetic",
}
CAUSAL_VERSION = 1  # of the features that hear no future: raised when the same dyad would give others

# A clip in which nobody speaks: of any room, and half of them of none that a microphone notices.
SILENT = DyadParams(speech=SpeechParams(silent=1.0, noise_db=(-200.0, -45.0)))

# Raised when the same parameters would give other clips, by other rules or features: they are made again.
RECIPE_VERSION = 2


@dataclasses.dataclass(frozen=True)
class SyntheticJob:
    """Dyad `index` of the set `seed`; see `clip_jobs.Job`.

    Attributes:
      seed, index: of the simulator.
      split: name of the split.
      voice: whose recordings are heard; None: a synthetic voice.
      listeners: `varied` people, or `constant` ones that keep the rules of `rules.py`.
      causal: with features that hear no future.
      transcribed: the words are known. For causal features each is read with all before it, which takes long.
      word_encoder: folder of the BERT that reads them; None: the package's own.
      take: which of those who listen to the same speaker.
      silent: the speaker says nothing.
      noise_db: quietest and loudest noise of a room, RMS dB re full scale; None: the simulator's own.
    """

    seed: int
    index: int
    split: str
    voice: Voice | None = None
    listeners: Listeners = "varied"
    causal: bool = False
    transcribed: bool = True
    word_encoder: Path | None = None
    take: int = 0
    silent: bool = False
    noise_db: tuple[float, float] | None = None

    @property
    def uuid(self) -> str:
        """As the simulator names it."""
        return name_of(KINDS[self.voice is not None, self.listeners], self.seed, self.index, self.take)

    @property
    def key(self) -> str:
        """Changes with every parameter of the simulator, with the recordings and with the recipe."""
        files = [path.name for path in self.voice.files] if self.voice else []
        kind: tuple = (files, self.listeners) if files or self.listeners == "varied" else ()
        kind += ("rules",) if self.uuid.startswith("rules") else ()  # until then people who vary came out
        recipe: tuple[str | float, ...] = ("causal", CAUSAL_VERSION) if self.causal else ()
        recipe += () if self.transcribed else ("no words",)
        recipe += ("take", self.take) if self.take else ()
        recipe += ("silent",) if self.silent else ()
        recipe += ("noise", *self.noise_db) if self.noise_db else ()
        recipe += ("speed", str(self.voice.speed)) if self.voice and self.voice.speed != 1 else ()
        recipe += tuple(map(str, WordOptions(word_encoder=self.word_encoder).stamps()))
        description = (RECIPE_VERSION, self.seed, self.index, DyadParams(), *kind, *recipe)
        return hashlib.sha256(repr(description).encode()).hexdigest()[:24]

    @property
    def params(self) -> DyadParams:
        """Of the simulator."""
        params = SILENT if self.silent else DyadParams()
        if self.noise_db is None:
            return params
        return dataclasses.replace(params, speech=dataclasses.replace(params.speech, noise_db=self.noise_db))

    def dyad(self) -> Dyad:
        """Simulates the dyad."""
        place, params = (self.seed, self.index), self.params
        if self.voice is None and self.listeners == "varied":
            return synthesise_varied(*place, self.take, params)
        if self.voice is None:
            return synthesise(*place, params)
        if self.listeners == "varied":
            return synthesise_human(self.voice.load(), *place, self.take, params)
        return synthesise_human_rules(self.voice.load(), *place, params)

    def make(self) -> tuple[Example, ClipInfo]:
        """Simulates the dyad and extracts what a model sees of it."""
        with timed("simulation"):
            dyad = self.dyad()
        if not self.transcribed:
            dyad = dataclasses.replace(dyad, words=[])
        info = ClipInfo(
            uuid=dyad.uuid,
            speaker_id=self.voice.speaker if self.voice else "",
            attitude=dyad.attitude,
            space=dyad.listener.space.name,
            motion_source="simulated",
            transcript=to_json(dyad.words),
        )
        with timed("features"):
            encoder = shared_encoder(self.word_encoder)
            example = (make_causal_example if self.causal else make_example)(dyad, encoder)
        spec = dataclasses.replace(presumed_features(example, info.space), words=encoder.name)
        spec = causal_spec(spec) if self.causal else spec
        return example, dataclasses.replace(info, features=spec_to_json(spec))


def make_causal_example(dyad: Dyad, encoder: PrefixEncoder) -> Example:
    """What a live listener hears and sees of a dyad, and what the listener does."""
    frames = min(len(dyad.speaker), len(dyad.listener))
    speech = extract_causal_speech(dyad.wave, frames, dyad.words, encoder)
    return assemble(speech, relative_to_anchor(dyad.speaker), dyad.listener, dyad.style.vector())


def check_dyads(
    listeners: Listeners, takes: int, silence: float, noise_db: tuple[float, float] | None = None
) -> None:
    """Raises `UserError` for takes below 1 or of listeners that all do the same, no share, and no levels."""
    if takes < 1 or (takes > 1 and listeners == "constant"):
        raise UserError(
            "--takes: at least 1, and no more for listeners with fixed rules, who all do the same"
        )
    if not 0 <= silence <= 1:
        raise UserError(f"--silence {silence:g}: a share, from 0 to 1")
    if noise_db is not None and not noise_db[0] <= noise_db[1] <= 0:
        raise UserError("--noise: two levels up to 0 dB, the quieter one first, e.g. --noise -70 -30")


def synthetic_jobs(
    hours: float,
    seed: int,
    split: str,
    voices: Sequence[Voice] = (),
    speech_share: float = 0.0,
    listeners: Listeners = "varied",
    takes: int = 1,
    silence: float = 0.0,
) -> list[SyntheticJob]:
    """The dyads that make up `hours` of a split of the set `seed`.

    Args:
      hours: of all clips, about.
      seed: of the set; its splits have seeds of their own.
      split: train, valid or test.
      voices: people whose recordings may be heard.
      speech_share: of the dyads that have one of these people, in [0, 1]; the others have synthetic voices.
      listeners: see `SyntheticJob`.
      takes: dyads with the same speaker, each with another listener.
      silence: share of the dyads in which nobody speaks, in [0, 1]; they have no voice.

    Raises `UserError` as `check_dyads`.
    """
    check_dyads(listeners, takes, silence)
    number = split_seed(seed, split)
    rng = np.random.default_rng(np.random.SeedSequence([number, 2]))
    count = dyads_for_hours(hours / takes)
    human = rng.random(count) < speech_share if voices else np.zeros(count, bool)
    weights = np.array([len(voice.files) for voice in voices], float) ** 0.5
    chosen = rng.choice(len(voices), count, p=weights / weights.sum()) if voices else np.zeros(count, int)
    silent = rng.random(count) < silence
    heard = [voices[chosen[i]] if human[i] and not silent[i] else None for i in range(count)]
    return [
        SyntheticJob(number, index, split, heard[index], listeners, take=take, silent=bool(silent[index]))
        for index in range(count)
        for take in range(takes)
    ]
