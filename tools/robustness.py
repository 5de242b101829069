"""How scores of listeners change where the speaker is heard or seen otherwise than in training.

  python tools/robustness.py --sweep out/evidence/sweep --speech RECORDINGS [--sound music=song.wav ...]

Of each listener and each condition: means with intervals over speakers, and differences to the same clips
as they are, in SWEEP/robustness.md and robustness.json. Conditions: `noise` (white) and `hum` (pink, as of a
fan) --level dB below the speech, each --sound likewise; `face unseen`; `no transcript`; `other languages`:
recordings in other languages than English, of people whom no training clip has.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tyro
from evidence_clips import ClipOptions, held_out
from evidence_columns import RULES
from evidence_scores import SCORES, finite, first_frame
from evidence_stats import by_speaker, difference, estimate
from evidence_table import cell, save
from jaxtyping import Float

from lhg_jax.data.records import open_source
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.media import read_audio
from lhg_jax.media.audio import SAMPLE_RATE
from lhg_jax.preparation.speech_folder import read_speech_folder
from lhg_jax.preparation.synthetic_clips import make_causal_example
from lhg_jax.preparation.voices import Voice, prepare_voices
from lhg_jax.simulator.benchmark import TestClip, clip_scores
from lhg_jax.simulator.dyads import Dyad, synthesise_human_rules
from lhg_jax.simulator.examples import make_example
from lhg_jax.speech.bert import shared_encoder
from lhg_jax.training.listener_file import NAME
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import say

AS_IT_IS = "as it is"
SEED = 900  # of the dyads in other languages
Wave = Float[np.ndarray, "samples"]
Change = Callable[[TestClip, int, bool], TestClip]


@dataclasses.dataclass(frozen=True)
class Options(ClipOptions):
    """Which listeners, and on what."""

    causal_clips: Path = Path("out/evidence/causal_test")
    """The held-out clips, prepared with --causal."""
    train: Path = Path("out/evidence/train")
    """Training clips, whose speakers are not asked again."""
    rows: tuple[str, ...] = ("paper", "vico_baseline")
    """Rows of the grid, of which every scored seed is measured."""
    listeners: tuple[Path, ...] = ()
    """Further listeners, by their files."""
    limit: int = 40
    """Most clips of each condition, >= 1."""
    level: float = 10.0
    """Of the speech above noise and sounds, dB."""
    sound: tuple[str, ...] = ()
    """NAME=FILE: a recording to add to the speech, e.g. music."""


def main(options: Options) -> None:
    sounds = dict(named(item) for item in options.sound)
    scored = sorted(path for row in options.rows for path in options.sweep.glob(f"{row}/seed*/{SCORES}"))
    files = {f"{path.parent.parent.name} {path.parent.name}": path.parent / NAME for path in scored}
    files |= {path.stem: path for path in options.listeners}
    if not files:
        raise UserError(f"{options.sweep}: no run of {', '.join(options.rows)} is scored")
    about = held_out(options.clips, options.causal_clips, options.speech, options.speech_cache, options.limit)
    changes = conditions(sounds, options.level)
    foreign, strangers = other_languages(options)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, path in files.items():
        say(name)
        model = load_listener(path)
        base = about.seen_by(model.features.causal)
        clips = {
            label: [change(clip, number, model.features.causal) for number, clip in enumerate(base)]
            for label, change in changes.items()
        }
        clips["other languages"] = [seen(clip, model.features.causal) for clip in foreign]
        found[name] = {label: scores_of(model, some) for label, some in clips.items() if some}
    text = markdown(found, about.speakers, strangers, options.level)
    save(options.sweep / "robustness.md", text)
    save(options.sweep / "robustness.json", json.dumps(finite(found)))
    say(f"{options.sweep}/robustness.md, robustness.json")


def named(item: str) -> tuple[str, Wave]:
    """A sound by its name. Raises `UserError` for what is no NAME=FILE, or cannot be read."""
    name, equals, path = item.partition("=")
    if not (name and equals and path):
        raise UserError(f"--sound {item}: not NAME=FILE")
    return name, read_audio(Path(path), SAMPLE_RATE)


def conditions(sounds: Mapping[str, Wave], level_db: float) -> dict[str, Change]:
    """By name; each makes another clip of a clip, its number and whether its features hear no future."""

    def louder(sound: Callable[[int, int], Wave]) -> Change:
        def change(clip: TestClip, number: int, causal: bool) -> TestClip:
            wave = mixed(clip.dyad.wave, sound(len(clip.dyad.wave), number), level_db)
            return seen(dataclasses.replace(clip.dyad, wave=wave), causal)

        return change

    def unseen(clip: TestClip, number: int, causal: bool) -> TestClip:
        return without(clip, speaker_seen=np.zeros_like(clip.example.features.speaker_seen))

    def silent(clip: TestClip, number: int, causal: bool) -> TestClip:
        return without(clip, word_index=np.zeros_like(clip.example.features.word_index))

    added = {name: louder(lambda n, number, wave=wave: np.resize(wave, n)) for name, wave in sounds.items()}
    return {
        AS_IT_IS: lambda clip, number, causal: clip,
        "noise": louder(white),
        "hum": louder(pink),
        **added,
        "face unseen": unseen,
        "no transcript": silent,
    }


def without(clip: TestClip, **features: np.ndarray) -> TestClip:
    """The clip with other features."""
    example = clip.example.replace(features=clip.example.features.replace(**features))
    return dataclasses.replace(clip, example=example)


def seen(dyad: Dyad, causal: bool) -> TestClip:
    """What a model sees of a dyad."""
    make = make_causal_example if causal else make_example
    return TestClip(dyad, make(dyad, shared_encoder()))


def white(samples: int, seed: int) -> Wave:
    """Noise of equal power everywhere."""
    return np.random.default_rng([seed, 7]).standard_normal(samples).astype(np.float32)


def pink(samples: int, seed: int) -> Wave:
    """Noise whose power falls with the frequency, from 50 Hz on, as that of fans and streets."""
    spectrum = np.fft.rfft(white(samples, seed))
    frequency = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    shape = np.where(frequency >= 50, 1 / np.sqrt(np.maximum(frequency, 1)), 0)
    return np.fft.irfft(spectrum * shape, samples).astype(np.float32)


def mixed(speech: Wave, sound: Wave, level_db: float) -> Wave:
    """Speech with a sound `level_db` below it, in RMS over what is not silent; clipped to [-1, 1]."""
    loud = speech[np.abs(speech) > 0.05 * np.abs(speech).max(initial=1e-6)]
    speech_rms, sound_rms = (
        float(np.sqrt(np.mean(x.astype(np.float64) ** 2) + 1e-12)) for x in (loud, sound)
    )
    gain = speech_rms / sound_rms * 10 ** (-level_db / 20)
    return np.clip(speech + np.float32(gain) * sound, -1, 1).astype(np.float32)


def other_languages(options: Options) -> tuple[list[Dyad], list[str]]:
    """Dyads in other languages than English, as many of each speaker, and who speaks in them."""
    recordings = [item for item in read_speech_folder(options.speech).recordings if not item.english]
    train = open_source(options.train)
    known = {train.info(number).speaker_id for number in range(len(train))}
    voices, _ = prepare_voices(recordings, options.speech_cache, workers=1)
    strangers = [voice for voice in voices if voice.speaker not in known]
    each = options.limit // len(strangers) if strangers else 0
    chosen: list[Voice] = [voice for voice in strangers for _ in range(each)]
    dyads = [synthesise_human_rules(voice.load(), SEED, number) for number, voice in enumerate(chosen)]
    return dyads, [voice.speaker for voice in chosen]


def scores_of(model: ListenerModel, clips: Sequence[TestClip]) -> dict[str, list[float]]:
    """Of the mean listener, metric -> value of each clip."""
    rows = [clip_scores(model.generate(clip.example.features, first_frame(clip)), clip) for clip in clips]
    return {column.name: [row[column.name] for row in rows] for column in RULES}


def markdown(
    found: Mapping[str, Mapping[str, Mapping[str, list[float]]]],
    speakers: Sequence[str],
    strangers: Sequence[str],
    level_db: float,
) -> str:
    """One table for each listener: means, and below them differences to the clips as they are."""
    heads = " | ".join(f"{column.label} {column.better}".strip() for column in RULES)
    parts = [f"Sounds {level_db:g} dB below the speech. Means ± half of a 95 % interval over speakers."]
    for name, table in found.items():
        lines = [f"{name}:", "", f"| | speakers | {heads} |", "|---" + "|---:" * (len(RULES) + 1) + "|"]
        base = table[AS_IT_IS]
        for label, scores in table.items():
            who = strangers if label == "other languages" else speakers
            own = [by_speaker(scores[column.name], who) for column in RULES]
            cells = [cell(estimate(values[None])) for values in own]
            lines.append(f"| {label} | {len(set(who))} | {' | '.join(cells)} |")
            if who is speakers and label != AS_IT_IS:
                true = [by_speaker(base[column.name], who) for column in RULES]
                apart = [difference({0: a}, {0: b}) for a, b in zip(own, true, strict=True)]
                lines.append(f"| *{label}, change* | | {' | '.join(map(cell, apart))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/robustness.py", description=__doc__)))
