"""Synthetic dyads: a speaker and a listener with known rules, made from a seed and nothing else."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE, Motion
from lhg_jax.simulator.human_voice import VoiceRecording
from lhg_jax.simulator.passages import passage
from lhg_jax.simulator.people import People, Person, random_person
from lhg_jax.simulator.rules import Event, ListenerParams, Style, listener_motion, random_style
from lhg_jax.simulator.speaker import SpeakerParams, speaker_motion
from lhg_jax.simulator.speech import SAMPLE_RATE, Speech, SpeechParams, say
from lhg_jax.simulator.varied_listener import varied_listener
from lhg_jax.speech.words import Word

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class DyadParams:
    """Everything that can be set in the simulator."""

    speech: SpeechParams = dataclasses.field(default_factory=SpeechParams)
    speaker: SpeakerParams = dataclasses.field(default_factory=SpeakerParams)
    listener: ListenerParams = dataclasses.field(default_factory=ListenerParams)
    people: People = dataclasses.field(default_factory=People)


@dataclasses.dataclass(frozen=True)
class Dyad:
    """One conversation of 8-20 s.

    Attributes:
      uuid: names seed and index.
      wave: 16 kHz mono in [-1, 1], speech with room noise.
      words: what is said and when.
      speaker, listener: motions at 30 frames/s in the LANDMARK space, equally long, as long as the wave.
      style, attitude: of the listener.
      events: what the rules answered, and how (rules.Event).
      speech: everything known about the speech: pitch, phrases, sentiment of the words.
      params: of the listener's rules.
    """

    uuid: str
    wave: Float[np.ndarray, "samples"]
    words: list[Word]
    speaker: Motion
    listener: Motion
    style: Style
    attitude: str
    events: tuple[Event, ...]
    speech: Speech
    params: ListenerParams


_DEFAULT = DyadParams()


def synthesise(seed: int, index: int, params: DyadParams = _DEFAULT) -> Dyad:
    """Makes dyad `index` of the set `seed`: the same bytes in any order, process or number of workers.

    Args:
      seed: names the set; see `split_seed` for training, validation and test sets without overlap.
      index: which dyad of the set, from 0.
      params: of the simulator.

    Raises:
      MissingExtraError: without espeakng-loader (extra `synthetic`).
    """
    for_speech, *streams = _streams(seed, index)
    return _rule_keeping(name_of("synthetic", seed, index), say(for_speech, params.speech), streams, params)


def synthesise_varied(seed: int, index: int, take: int = 0, params: DyadParams = _DEFAULT) -> Dyad:
    """As `synthesise`, with a listener drawn from `params.people` in place of one that keeps the rules.

    Each `take` has the same speaker, and somebody else who listens.
    """
    for_speech, *streams = _streams(seed, index, take)
    return _varied(name_of("varied", seed, index, take), say(for_speech, params.speech), streams, params)


def synthesise_human(
    recordings: Sequence[VoiceRecording],
    seed: int,
    index: int,
    take: int = 0,
    params: DyadParams = _DEFAULT,
) -> Dyad:
    """As `synthesise_varied`, with a speaker who is heard in recordings of one person."""
    for_speech, *streams = _streams(seed, index, take)
    speech = passage(recordings, for_speech, params.speech)
    return _varied(name_of("human", seed, index, take), speech, streams, params)


def synthesise_human_rules(
    recordings: Sequence[VoiceRecording], seed: int, index: int, params: DyadParams = _DEFAULT
) -> Dyad:
    """As `synthesise_human`, with the same words and speaker, and a listener that keeps the rules."""
    for_speech, *streams = _streams(seed, index)
    speech = passage(recordings, for_speech, params.speech)
    return _rule_keeping(name_of("rules", seed, index), speech, streams, params)


def name_of(kind: str, seed: int, index: int, take: int = 0) -> str:
    """A dyad's uuid; `numbers_in` reads it."""
    return f"{kind}-{seed}-{index:06d}" + (f"-{take}" if take else "")


def numbers_in(uuid: str) -> tuple[int, ...]:
    """Seed, index and, unless it is the first one, take of a dyad's uuid; empty where it is none."""
    _, *numbers = uuid.split("-")
    return tuple(map(int, numbers)) if len(numbers) in (2, 3) and all(map(str.isdecimal, numbers)) else ()


def listen_again(dyad: Dyad, seed: int, people: People = _DEFAULT.people) -> Motion:
    """What a varied dyad's listener, the same person in the same portrait's place, does another time."""
    if not isinstance(dyad.style, Person):
        raise TypeError(f"{dyad.uuid}: its listener keeps the rules and does the same every time")
    return _listen(dyad, dyad.style, people, np.random.default_rng(np.random.SeedSequence([seed, 1])))


def listen_instead(dyad: Dyad, seed: int, people: People = _DEFAULT.people) -> Motion:
    """What somebody else does in the portrait's place, drawn from `people`."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2]))
    return _listen(dyad, random_person(rng, people), people, rng)


def _listen(dyad: Dyad, person: Person, people: People, rng: np.random.Generator) -> Motion:
    """From the first frame of the dyad's listener."""
    motion, _, _ = varied_listener(dyad.speech, dyad.speaker, person, people, rng)
    return dataclasses.replace(motion, values=motion.values - motion.values[0] + dyad.listener.values[0])


def synthesise_again(uuid: str, recordings: Sequence[VoiceRecording] = ()) -> Dyad | None:
    """The dyad of a name that the simulator gave; None where nobody can tell: other clips, no recordings.

    Args:
      uuid: of the dyad.
      recordings: of its speaker, where they are heard in recordings.

    Raises:
      MissingExtraError: as `synthesise`.
    """
    kind, numbers = uuid.partition("-")[0], numbers_in(uuid)
    makers: dict[str, Callable[..., Dyad]] = {"synthetic": synthesise, "varied": synthesise_varied}
    if recordings:
        makers = {
            "human": functools.partial(synthesise_human, recordings),
            "rules": functools.partial(synthesise_human_rules, recordings),
        }
    return makers[kind](*numbers) if kind in makers and numbers else None


def keep_rules_again(dyad: Dyad, seed: int) -> Motion:
    """What a rule-keeping dyad's listener does another time: the same but for noise and random blinks.

    Nobody can know these, so this is the least error that can be asked for.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    motion, _ = listener_motion(dyad.speech, dyad.speaker, dyad.style, rng, dyad.params)
    return dataclasses.replace(motion, values=motion.values - motion.values[0] + dyad.listener.values[0])


def _streams(seed: int, index: int, take: int = 0) -> list[np.random.Generator]:
    """Of speech, speaker, listener's style and listener; only the last two differ between takes."""
    streams = np.random.SeedSequence([seed, index]).spawn(4)
    if take:
        streams[2:] = np.random.SeedSequence([seed, index, take]).spawn(2)
    return [np.random.default_rng(stream) for stream in streams]


def _rule_keeping(
    uuid: str, speech: Speech, streams: Sequence[np.random.Generator], params: DyadParams
) -> Dyad:
    for_speaker, for_style, for_listener = streams
    frames = round(len(speech.wave) / SAMPLE_RATE * FRAME_RATE)
    speaker = speaker_motion(speech, frames, for_speaker, params.speaker)
    style = random_style(for_style)
    listener, events = listener_motion(speech, speaker, style, for_listener, params.listener)
    return _dyad(uuid, speech, speaker, listener, style, events, params.listener)


def _varied(uuid: str, speech: Speech, streams: Sequence[np.random.Generator], params: DyadParams) -> Dyad:
    for_speaker, for_person, for_listener = streams
    frames = round(len(speech.wave) / SAMPLE_RATE * FRAME_RATE)
    speaker = speaker_motion(speech, frames, for_speaker, params.speaker)
    person = random_person(for_person, params.people)
    listener, events, own = varied_listener(speech, speaker, person, params.people, for_listener)
    return _dyad(uuid, speech, speaker, listener, person, events, own)


def dyads_for_hours(hours: float, params: DyadParams = _DEFAULT) -> int:
    """How many dyads make up `hours` on average."""
    return math.ceil(hours * 3600 / np.mean(params.speech.clip_s))


def split_seed(seed: int, split: str) -> int:
    """Seed of a split of the set `seed`; no two splits of any sets share a dyad. KeyError names them."""
    if split not in SPLITS:
        raise KeyError(f"no split {split!r}: there are {', '.join(SPLITS)}")
    return len(SPLITS) * seed + SPLITS.index(split)


def _dyad(
    uuid: str,
    speech: Speech,
    speaker: Motion,
    listener: Motion,
    style: Style,
    events: tuple[Event, ...],
    params: ListenerParams,
) -> Dyad:
    """What was said, and what both people did."""
    return Dyad(
        uuid=uuid,
        wave=speech.wave,
        words=[Word(word.text, word.start_s, word.end_s) for word in speech.words],
        speaker=speaker,
        listener=listener,
        style=style,
        attitude=style.attitude,
        events=events,
        speech=speech,
        params=params,
    )
