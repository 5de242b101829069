"""Makes recordings of espeak-ng's voices that read everyday sentences: `espeak_recordings.py --out DIR`.

The simulator's own grammar says no in ten ways, and people in hundreds: a listener that has only heard the
grammar answers half of the negations in other sentences. The folder is one that `prepare --speech` reads:
VOICE_NUMBER.wav with VOICE_NUMBER.json, its words with times.
"""

import dataclasses
from pathlib import Path

import numpy as np
import soundfile
import tyro

from lhg_jax.simulator.grammar import filled
from lhg_jax.simulator.speech import SAMPLE_RATE, SpeechParams, random_voice, speak_at_random
from lhg_jax.simulator.voice import Espeak, VoiceSettings
from lhg_jax.speech.words import Word, to_json
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import console

SENTENCES = Path(__file__).with_name("everyday_sentences.txt")
_PARAMS = SpeechParams()


@dataclasses.dataclass(frozen=True)
class Options:
    """Voices and what they read."""

    out: Path
    """Folder of the recordings."""
    voices: int = 48
    """Each with an accent, a speed and a pitch of its own."""
    recordings: int = 4
    """Of each voice."""
    sentences: int = 10
    """In a recording, in random order."""
    seed: int = 0


def recording(
    rng: np.random.Generator, voice: VoiceSettings, templates: list[str]
) -> tuple[np.ndarray, list[Word]]:
    """Sentences read one after the other, with pauses, at 16 kHz, and their words."""
    waves, words, time_s = [np.zeros(0, np.float32)], [], 0.0
    with Espeak(seed=int(rng.integers(2**31))) as espeak:
        for phrase in (phrase for template in templates for phrase in filled(template, rng)):
            utterance = speak_at_random(rng, espeak, phrase, voice, _PARAMS)
            words += [Word(w.text, time_s + w.start_s, time_s + w.end_s) for w in utterance.words]
            pause_s = rng.uniform(*(_PARAMS.pause_s if phrase.end == "." else _PARAMS.short_pause_s))
            waves += [utterance.samples, np.zeros(round(pause_s * SAMPLE_RATE), np.float32)]
            time_s = sum(map(len, waves)) / SAMPLE_RATE
    return np.concatenate(waves), words


def main(options: Options) -> None:
    """Writes the folder."""
    templates = SENTENCES.read_text(encoding="utf-8").splitlines()
    if min(options.voices, options.recordings) < 1 or not 1 <= options.sentences <= len(templates):
        raise UserError(f"--voices, --recordings: at least 1; --sentences: 1 to {len(templates)}")
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.voices):
        rng = np.random.default_rng([options.seed, number])
        voice = random_voice(rng)
        for part in range(options.recordings):
            chosen = [templates[i] for i in rng.choice(len(templates), options.sentences, replace=False)]
            wave, words = recording(rng, voice, chosen)
            path = options.out / f"espeak{number:03d}_{part}.wav"
            soundfile.write(path, wave, SAMPLE_RATE, subtype="PCM_16")
            path.with_suffix(".json").write_text(to_json(words) + "\n", encoding="utf-8")
    console.print(f"{options.out}: {options.voices * options.recordings} recordings", soft_wrap=True)


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
