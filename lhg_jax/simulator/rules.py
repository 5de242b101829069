"""The listener of a synthetic dyad: known rules from the literature, each with its parameters.

What is random (part of the blinks, the noise, the style) comes from the given generator; everything else is
a function of what the speaker says and does, so a model can learn it and `probes.py` can measure it.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import style_vector
from lhg_jax.face_model import action
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.simulator import curves
from lhg_jax.simulator.pitch import low_pitch_cues
from lhg_jax.simulator.speaker import compose, noise_scales
from lhg_jax.simulator.speech import Speech

ATTITUDES = ("positive", "neutral", "negative")


@dataclasses.dataclass(frozen=True)
class ListenerParams:
    """The rules' parameters. Triples are for a positive, neutral and negative attitude.

    Nods answer a region of low pitch (Ward & Tsukahara 2000, "Prosodic features which cue back-channel
    responses in English and Japanese"): P1 pitch below the `cue_percentile`-th percentile, P2 for
    `cue_region_s`, P3 after `cue_speech_s` of speech, P4 none in the time before (`nod_gap_s`; the paper has
    0.8 s for all), P5 after a wait of `nod_lag_s`. Unlike theirs, the region must reach the
    last `cue_final_s` of a phrase and the wait runs from the phrase's end (`pitch.low_pitch_cues`); 0.4 s
    from there are about their 0.7 s from the region. Shape after Hadar, Steiner & Rose (1985):
    2-3 damped cycles.

    Attributes:
      cue_percentile: percentile of the clip's voiced pitch, 0-100.
      cue_region_s: s.
      cue_speech_s: s.
      cue_final_s: s.
      nod_lag_s: from the cue to the nod's onset, s.
      nod_gap_s: least time from the end of a nod to the next cue's nod, s.
      nod_deg: depth of the first stroke at expressivity 1, degrees.
      nod_hz: strokes/s.
      nod_cycles: strokes of a nod, at a phrase that goes on and at a sentence's end.
      shake_lag_s: from the onset of a negation to the shake (Kendon 2002; McClave 2000), s.
      shake_deg: largest yaw at expressivity 1, degrees.
      shake_hz: cycles/s.
      shake_cycles: cycles of a shake.
      smile_delay_s: sentiment of the words shows on the listener (Bavelas et al. 2000; mimicry: Dimberg
        et al. 2000) after this delay, s ...
      smile_time_s: ... through a second-order low-pass with this time constant, s.
      smile_hold_s: a word counts until this long after its end, s.
      smile_size: share of the full smile (or frown) at expressivity 1.
      mirror_delay_s: the listener takes up the speaker's slow head pose (Chartrand & Bargh 1999; 0.6 s late
        in Hale et al. 2020) after this delay, s ...
      mirror_time_s: ... through a second-order low-pass with this time constant, s.
      blink_lag_s: blink after a sentence's end (Nakano & Kitazawa 2010), s.
      blink_per_min: random blinks, which nobody can predict.
      blink_gap_s: least time between two blinks, s.
      blink_s: length of a blink, s.
      noise_deg: standard deviation of the noise on the angles, degrees.
      noise_exp: the same for expression, interocular distances.
      noise_trans: the same for translation, interocular distances (and log scale).
    """

    cue_percentile: float = 26.0
    cue_region_s: float = 0.11
    cue_speech_s: float = 0.7
    cue_final_s: float = 0.25
    nod_lag_s: float = 0.4
    nod_gap_s: tuple[float, float, float] = (0.3, 0.8, 2.0)
    nod_deg: tuple[float, float, float] = (7.0, 6.0, 5.0)
    nod_hz: float = 2.3
    nod_cycles: tuple[int, int] = (2, 3)
    shake_lag_s: float = 0.45
    shake_deg: float = 6.0
    shake_hz: float = 2.0
    shake_cycles: int = 2
    smile_delay_s: float = 0.2
    smile_time_s: float = 0.3
    smile_hold_s: float = 1.0
    smile_size: tuple[float, float, float] = (0.7, 0.6, 0.45)
    mirror_delay_s: float = 0.2
    mirror_time_s: float = 0.25
    blink_lag_s: float = 0.3
    blink_per_min: float = 9.0
    blink_gap_s: float = 1.0
    blink_s: float = 0.27
    noise_deg: float = 0.1
    noise_exp: float = 0.002
    noise_trans: float = 0.002


# Facing each other, a mirror image tilts to the other side of its own camera's picture.
MIRROR_SIGNS = np.array([1.0, -1.0, -1.0])


@dataclasses.dataclass(frozen=True)
class Style:
    """What sets one listener apart from another; the first frame shows it, weakly.

    Attributes:
      attitude: one of `ATTITUDES`; shows as a slight smile or frown.
      expressivity: 0.7-1.3, scales nods, shakes and smiles; shows as raised brows.
      mirror_gain: 0.15-0.45, share of the speaker's head movement taken up; shows as a lowered head.
    """

    attitude: str
    expressivity: float
    mirror_gain: float

    @property
    def row(self) -> int:
        """Which value of a parameter's triple applies."""
        return ATTITUDES.index(self.attitude)

    def vector(self) -> Float[np.ndarray, "style"]:
        """As a model sees it, `contract.style_vector`."""
        return style_vector(self.attitude)


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happens at `time_s`: 'cue', 'nod', 'negation', 'shake', 'blink' or 'random_blink'.

    Listeners of `people.py` also have 'small_nod', 'smile', 'frown', 'brow_raise', 'lip_press', 'tilt' and
    'shift'. A listener's event is at its onset.

    Attributes:
      kind: what happens.
      time_s: when.
      size: degrees for movements of the head, else a share of the full action.
      duration_s: how long it takes; 0 for what is said.
      cycles: strokes of a nod or swings of a shake.
    """

    kind: str
    time_s: float
    size: float = 1.0
    duration_s: float = 0.0
    cycles: int = 0


def random_style(rng: np.random.Generator) -> Style:
    """Attitudes equally often, gains uniform in their ranges."""
    return Style(str(rng.choice(ATTITUDES)), float(rng.uniform(0.7, 1.3)), float(rng.uniform(0.15, 0.45)))


def first_frame(style: Style, rng: np.random.Generator) -> Float[np.ndarray, "70"]:
    """The portrait: a resting face in a random pose that hints at the style; trans = 0 as in any portrait."""
    values = np.zeros(LANDMARK.size)
    raised, smiling, frowning, opened = rng.normal(0, (0.08, 0.05, 0.05, 0.03))
    smiling += 0.35 * (style.attitude == "positive")
    frowning += 0.4 * (style.attitude == "negative")
    raised += style.expressivity - 1
    values[LANDMARK.slice("exp")] = (
        max(smiling, 0) * action("smile")
        + max(frowning, 0) * action("frown")
        + raised * action("brow_raise")
        + max(opened, 0) * action("jaw_open")
    )
    lowered = 4 * (style.mirror_gain - 0.3) / 0.15
    values[LANDMARK.slice("angle")] = np.deg2rad(rng.normal((lowered, 0, 0), (1.5, 5, 2)))
    return values


def expected_events(speech: Speech, style: Style, params: ListenerParams) -> list[Event]:
    """Everything the rules foresee for what was said: cues and negations, nods, shakes and blinks."""
    negations = [word.start_s for word in speech.words if word.negates]
    cues = low_pitch_cues(
        speech.f0,
        speech.speaking,
        percentile=params.cue_percentile,
        region_s=params.cue_region_s,
        speech_s=params.cue_speech_s,
        final_s=params.cue_final_s,
    )
    shakes = _shakes(speech, negations, style, params)
    events = [Event("negation", t) for t in negations] + [Event("cue", t) for t in cues] + shakes
    events += _nods(speech, cues, shakes, style, params)
    ends = [phrase.end_s + params.blink_lag_s for phrase in speech.phrases if phrase.complete]
    events += [Event("blink", t) for t in ends if t + params.blink_s < speech.duration_s]
    return sorted(events, key=lambda event: event.time_s)


def _shakes(speech: Speech, negations: list[float], style: Style, params: ListenerParams) -> list[Event]:
    """One shake for a negation, unless the one before is still going on or the clip ends first."""
    length_s = params.shake_cycles / params.shake_hz
    shakes: list[Event] = []
    for negation_s in negations:
        onset_s = negation_s + params.shake_lag_s
        free = not shakes or onset_s >= shakes[-1].time_s + length_s
        if free and onset_s + length_s <= speech.duration_s:
            shakes.append(
                Event("shake", onset_s, params.shake_deg * style.expressivity, length_s, params.shake_cycles)
            )
    return shakes


def nod_cycles(speech: Speech, cue_s: float, params: ListenerParams) -> int:
    """Strokes of the nod that answers a cue: more where a sentence is complete."""
    late_s = cue_s - 0.02  # a cue falls on the last step of its phrase, give or take one
    complete = any(phrase.complete and phrase.start_s <= late_s <= phrase.end_s for phrase in speech.phrases)
    return params.nod_cycles[complete]


def _nods(
    speech: Speech, cues: list[float], shakes: list[Event], style: Style, params: ListenerParams
) -> list[Event]:
    """Nods after cues; none soon after another (P4), none during a shake, none cut off by the clip's end."""
    shake_s = params.shake_cycles / params.shake_hz
    nods: list[Event] = []
    free_from = 0.0
    for cue_s in cues:
        onset_s = cue_s + params.nod_lag_s
        cycles = nod_cycles(speech, cue_s, params)
        end_s = onset_s + cycles / params.nod_hz
        shaking = any(onset_s < s.time_s + shake_s and s.time_s < end_s for s in shakes)
        if onset_s < free_from or shaking or end_s > speech.duration_s:
            continue
        size_deg = params.nod_deg[style.row] * style.expressivity
        nods.append(Event("nod", onset_s, size_deg, end_s - onset_s, cycles))
        free_from = end_s + params.nod_gap_s[style.row]
    return nods


def sentiment(speech: Speech, frames: int, params: ListenerParams) -> Float[np.ndarray, "frames"]:
    """Sentiment of what is being said, -1 to 1, each word held for a while."""
    spans = [(w.start_s, w.end_s + params.smile_hold_s, float(w.valence)) for w in speech.words if w.valence]
    return curves.spread(curves.frame_times(frames), spans)


def smile_response(speech: Speech, frames: int, params: ListenerParams) -> Float[np.ndarray, "frames"]:
    """How the listener's face follows the sentiment, before gains: positive smiles, negative frowns."""
    return curves.follow(sentiment(speech, frames, params), params.smile_delay_s, params.smile_time_s)


def mirror_response(speaker: Motion, params: ListenerParams) -> Float[np.ndarray, "frames 3"]:
    """How the listener's pose follows the speaker's before the gain: low-passed, rad from the first frame."""
    turned = (speaker.part("angle") - speaker.part("angle")[0]) * MIRROR_SIGNS
    return curves.follow(turned, params.mirror_delay_s, params.mirror_time_s)


def listener_motion(
    speech: Speech, speaker: Motion, style: Style, rng: np.random.Generator, params: ListenerParams
) -> tuple[Motion, tuple[Event, ...]]:
    """The listener's motion by all rules, with noise, and every event that went into it."""
    frames = len(speaker)
    times = curves.frame_times(frames)
    events = expected_events(speech, style, params)
    foreseen = [event.time_s for event in events if event.kind == "blink"]
    free = curves.random_times(rng, speech.duration_s, params.blink_per_min, foreseen, params.blink_gap_s)
    events += [Event("random_blink", time_s) for time_s in free]
    face = params.smile_size[style.row] * style.expressivity * smile_response(speech, frames, params)
    blinks = [curves.bump(times, t, params.blink_s) for t in (*foreseen, *free)]
    actions = {
        "smile": np.maximum(face, 0),
        "frown": np.maximum(-face, 0),
        "blink": np.max(blinks or [np.zeros(frames)], axis=0),
    }
    angle = style.mirror_gain * np.rad2deg(mirror_response(speaker, params))
    for event in events:
        if event.kind == "nod":
            angle[:, 0] += event.size * curves.nod(times, event.time_s, event.cycles, params.nod_hz)
        elif event.kind == "shake":
            angle[:, 1] += event.size * curves.shake(
                times, event.time_s, params.shake_cycles, params.shake_hz
            )
    scales = noise_scales(params.noise_deg, params.noise_exp, params.noise_trans)
    noise = curves.smooth_noise(rng, frames, scales)
    motion = compose(first_frame(style, rng), actions, angle, noise - noise[0])
    return motion, tuple(sorted(events, key=lambda event: event.time_s))
