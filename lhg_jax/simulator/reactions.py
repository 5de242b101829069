"""What one listener does in one dyad: every reaction and spontaneous movement, drawn at random."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from lhg_jax.simulator.curves import random_times
from lhg_jax.simulator.people import FROWNS, NODS, SHAKES, SMILES, LogNormal, People, Person
from lhg_jax.simulator.pitch import low_pitch_regions
from lhg_jax.simulator.rules import Event
from lhg_jax.simulator.speech import Speech

# Ward & Tsukahara (2000), as `rules.ListenerParams` has them.
_CUE_PERCENTILE, _CUE_REGION_S, _CUE_SPEECH_S = 26.0, 0.11, 0.7
_FINAL_S = 0.25  # a low region this close to a phrase's end is part of that end
_OPEN_S = 0.3  # least time that an expression holds


@dataclasses.dataclass(frozen=True)
class Cue:
    """A moment that invites a nod: the end of a 'sentence' or 'phrase', or a low pitch 'inside' one."""

    time_s: float
    place: str


def find_cues(speech: Speech) -> list[Cue]:
    """All cues, in order: ends of phrases of at least 0.7 s, and regions of low pitch elsewhere."""
    ends = [
        Cue(phrase.end_s, "sentence" if phrase.complete else "phrase")
        for phrase in speech.phrases
        if phrase.end_s - phrase.start_s >= _CUE_SPEECH_S
    ]
    inside = low_pitch_regions(
        speech.f0,
        speech.speaking,
        percentile=_CUE_PERCENTILE,
        region_s=_CUE_REGION_S,
        speech_s=_CUE_SPEECH_S,
    )
    borders = [phrase.end_s for phrase in speech.phrases]
    ends += [Cue(t, "inside") for t in inside if all(abs(t - border) > _FINAL_S for border in borders)]
    return sorted(ends, key=lambda cue: cue.time_s)


def react(speech: Speech, person: Person, people: People, rng: np.random.Generator) -> list[Event]:
    """Everything the listener does, and the cues and negations that it answers, in order of onset."""
    cues = find_cues(speech)
    shakes = _shakes(speech, person, people, rng)
    nods = _nods(speech, cues, shakes, person, people, rng)
    events = [Event("cue", cue.time_s) for cue in cues]
    events += [Event("negation", word.start_s) for word in speech.words if word.negates]
    events += [*shakes, *nods, *_small_nods(speech, [*nods, *shakes], person, people, rng)]
    events += [*_feelings(speech, person, people, rng), *_fidgets(speech, person, people, rng)]
    events += blinks(speech, person, people, rng)
    return sorted(events, key=lambda event: event.time_s)


def _chance(base: float, quantile: float, factors: Sequence[float], person: Person) -> float:
    """Of an answer: in proportion to the quantile, so that a listener at 0 never answers."""
    return min(0.95, base * 2 * quantile * factors[person.row])


def _nods(
    speech: Speech,
    cues: Iterable[Cue],
    shakes: Iterable[Event],
    person: Person,
    people: People,
    rng: np.random.Generator,
) -> list[Event]:
    """Answers to cues: none during another nod or a shake, none cut off by the clip's end."""
    usual_deg = people.nod_deg.at(person.liveliness)
    nods: list[Event] = []
    free_from = 0.0
    for cue in cues:
        answers = rng.random() < _chance(people.nod_chance[cue.place], person.nods, NODS, person)
        onset_s = cue.time_s + LogNormal(person.nod_delay_s, people.delay_sigma).draw(rng)
        cycles = max(1, round(people.nod_s.draw(rng) * person.nod_hz))
        end_s = onset_s + cycles / person.nod_hz
        shaking = any(onset_s < shake.time_s + shake.duration_s and shake.time_s < end_s for shake in shakes)
        if not answers or shaking or onset_s < free_from or end_s > speech.duration_s:
            continue
        depth = LogNormal(usual_deg, people.depth_sigma).draw(rng)
        nods.append(Event("nod", onset_s, depth, end_s - onset_s, cycles))
        free_from = end_s + people.nod_gap_s.draw(rng)
    return nods


def _shakes(speech: Speech, person: Person, people: People, rng: np.random.Generator) -> list[Event]:
    """Answers to negations."""
    shakes: list[Event] = []
    for word in speech.words:
        if not word.negates or rng.random() >= _chance(people.shake_chance, 0.5, SHAKES, person):
            continue
        onset_s, hz = word.start_s + people.shake_delay_s.draw(rng), people.shake_hz.draw(rng)
        cycles = max(2, round(people.shake_s.draw(rng) * hz))
        free = not shakes or onset_s >= shakes[-1].time_s + shakes[-1].duration_s
        if free and onset_s + cycles / hz <= speech.duration_s:
            shakes.append(Event("shake", onset_s, people.shake_deg.draw(rng), cycles / hz, cycles))
    return shakes


def _small_nods(
    speech: Speech, taken: Iterable[Event], person: Person, people: People, rng: np.random.Generator
) -> list[Event]:
    """Single shallow strokes without a cause, while somebody speaks."""
    rate = 2 * person.nods * people.small_nod_per_min
    times = while_spoken(speech, random_times(rng, speech.duration_s, rate, (), gap_s=1.0))
    free = [
        t
        for t in times
        if all(t + 0.6 < other.time_s or t > other.time_s + other.duration_s for other in taken)
    ]
    return [Event("small_nod", t, people.small_nod_deg.draw(rng), 0.5, 1) for t in free]


def _feelings(speech: Speech, person: Person, people: People, rng: np.random.Generator) -> list[Event]:
    """Smiles and frowns: answers to words with sentiment, and polite smiles when a sentence ends."""
    moments = [(word.start_s, word.valence) for word in speech.words if word.valence]
    moments += [(phrase.end_s, 0) for phrase in speech.phrases if phrase.complete]
    events: list[Event] = []
    free_from = 0.0
    for time_s, valence in sorted(moments):
        onset_s = time_s + people.smile_delay_s.draw(rng)
        if valence < 0:
            chance = _chance(people.frown_chance, person.brows, FROWNS, person)
            kind, length, size = "frown", people.frown_s, people.frown_size
        else:
            base = people.smile_chance if valence else people.polite_smile_chance
            chance = _chance(base, person.smiles, SMILES, person)
            median = people.smile_size.median * (0.5 + person.smiles)
            kind, length, size = "smile", people.smile_s, LogNormal(median, people.smile_size.sigma)
        if rng.random() < chance and free_from <= onset_s < speech.duration_s:
            duration_s = max(_OPEN_S, length.draw(rng))
            events.append(Event(kind, onset_s, min(1.2, size.draw(rng)), duration_s))
            free_from = onset_s + duration_s
    return events


def _fidgets(speech: Speech, person: Person, people: People, rng: np.random.Generator) -> list[Event]:
    """What has no cause: brows, lips and tilts while somebody speaks, and shifts of posture."""
    lively = people.liveliness.at(person.liveliness)
    plans = (
        ("brow_raise", 2 * person.brows * people.brow_per_min, people.brow_s, people.brow_size),
        ("lip_press", people.press_per_min, people.press_s, people.press_size),
        ("tilt", people.tilt_per_min * lively, people.tilt_s, people.tilt_deg),
    )
    events: list[Event] = []
    for kind, rate, length, size in plans:
        for time_s in while_spoken(speech, random_times(rng, speech.duration_s, rate, (), gap_s=2.0)):
            events.append(Event(kind, time_s, size.draw(rng), max(_OPEN_S, length.draw(rng))))
    for time_s in random_times(rng, speech.duration_s, people.shift_per_min * lively, (), gap_s=2.0):
        events.append(Event("shift", time_s, lively, float(rng.uniform(*people.shift_s))))
    return events


def blinks(speech: Speech, person: Person, people: People, rng: np.random.Generator) -> list[Event]:
    """Some at the ends of sentences, the others with log-normal times between them; at the person's rate."""
    length_s, rate = person.blink_s, people.blinks_per_min.at(person.blinks)
    ends = [phrase.end_s for phrase in speech.phrases if phrase.complete]
    chance = min(people.blink_chance, 0.5 * rate * speech.duration_s / 60 / max(len(ends), 1))
    foreseen = [end_s + people.blink_delay_s.draw(rng) for end_s in ends if rng.random() < chance]
    others_per_min = max(rate - 60 * len(foreseen) / speech.duration_s, 0.4 * rate)
    mean_s = 60 / others_per_min
    interval = LogNormal(mean_s * np.exp(-(people.blink_spread**2) / 2), people.blink_spread)
    time_s, free = -mean_s * rng.random(), []
    while time_s < speech.duration_s:
        time_s += max(2 * length_s, interval.draw(rng))
        if time_s >= 0 and all(abs(time_s - other) > 2 * length_s for other in foreseen):
            free.append(time_s)
    last_s = speech.duration_s - length_s
    events = [Event("blink", t, 1.0, length_s) for t in foreseen if t < last_s]
    return events + [Event("random_blink", t, 1.0, length_s) for t in free if t < last_s]


def while_spoken(speech: Speech, times_s: Iterable[float]) -> list[float]:
    """Those of the times at which somebody speaks."""
    spoken = [(phrase.start_s, phrase.end_s) for phrase in speech.phrases]
    return [t for t in times_s if any(start_s <= t < end_s for start_s, end_s in spoken)]
