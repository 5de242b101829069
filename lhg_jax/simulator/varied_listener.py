"""The motion of one varied listener: reactions of `reactions.py` on a head that is never quite still."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import scipy.ndimage
from jaxtyping import Float

from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.simulator import curves
from lhg_jax.simulator.people import People, Person
from lhg_jax.simulator.pitch import PITCH_RATE
from lhg_jax.simulator.reactions import react
from lhg_jax.simulator.rules import Event, ListenerParams, first_frame, mirror_response
from lhg_jax.simulator.speaker import compose, noise_scales
from lhg_jax.simulator.speech import Speech

_STILLNESS = 0.5  # share of the small movements that is left while nobody speaks
_RISE_S = {"smile": 0.6, "frown": 0.4, "brow_raise": 0.25, "lip_press": 0.3, "tilt": 0.6}
_SMALL_NOD_HZ = 2.0


def varied_listener(
    speech: Speech, speaker: Motion, person: Person, people: People, rng: np.random.Generator
) -> tuple[Motion, tuple[Event, ...], ListenerParams]:
    """The listener's motion, every event that went into it, and the person's own constants of the rules."""
    params = dataclasses.replace(ListenerParams(), mirror_delay_s=person.mirror_delay_s)
    events = react(speech, person, people, rng)
    times = curves.frame_times(len(speaker))
    angle = _pose(speech, events, times, person, people, rng)
    angle += person.mirror_gain * np.rad2deg(mirror_response(speaker, params))
    scales = noise_scales(params.noise_deg, params.noise_exp, params.noise_trans)
    noise = curves.smooth_noise(rng, len(speaker), scales)
    noise[:, LANDMARK.slice("trans")] += _wander(times, people.rest_trans, people.sway_hz, rng)
    motion = compose(first_frame(person, rng), _face(events, times, people, rng), angle, noise - noise[0])
    return motion, tuple(events), params


def _face(
    events: Iterable[Event], times: np.ndarray, people: People, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Amount of each action over time: events, on a face that slowly changes."""
    actions = {name: _wander(times, (size,), people.sway_hz, rng)[:, 0] for name, size in people.rest_exp} | {
        "blink": np.zeros(len(times))
    }
    for event in events:
        if event.kind in ("blink", "random_blink"):
            closed = blink(times, event.time_s, event.duration_s)
            actions["blink"] = np.maximum(actions["blink"], closed)
        elif event.kind in actions:
            actions[event.kind] += event.size * held(times, event, _RISE_S[event.kind])
    return actions


def _pose(
    speech: Speech,
    events: Iterable[Event],
    times: np.ndarray,
    person: Person,
    people: People,
    rng: np.random.Generator,
) -> Float[np.ndarray, "frames 3"]:
    """Angles (degrees) by everything but the speaker's own movement, relative to the portrait."""
    lively = people.liveliness.at(person.liveliness)
    steps_s = np.arange(len(speech.speaking)) / PITCH_RATE
    active = scipy.ndimage.gaussian_filter1d(speech.speaking.astype(float), PITCH_RATE)
    active = _STILLNESS + (1 - _STILLNESS) * np.interp(times, steps_s, active)
    angle = lively * _wander(times, people.sway_deg, people.sway_hz, rng)
    angle += lively * active[:, None] * _wander(times, people.stir_deg, people.stir_hz, rng)
    rest = np.zeros(3)
    for event in events:
        if event.kind == "nod":
            hz = event.cycles / event.duration_s
            angle[:, 0] += event.size * curves.nod(times, event.time_s, event.cycles, hz)
        elif event.kind == "small_nod":
            angle[:, 0] += event.size * curves.nod(times, event.time_s, 1, _SMALL_NOD_HZ)
        elif event.kind == "shake":
            hz = event.cycles / event.duration_s
            angle[:, 1] += event.size * curves.shake(times, event.time_s, event.cycles, hz)
        elif event.kind == "tilt":
            angle[:, 2] += rng.choice((-1, 1)) * event.size * held(times, event, _RISE_S["tilt"])
        elif event.kind == "shift":
            new = rng.normal(0, people.shift_deg) * event.size
            angle += (new - rest) * curves.step(times, event.time_s, event.duration_s)[:, None]
            rest = new
    return angle


def _wander(
    times: np.ndarray, sizes: tuple[float, ...], band_hz: tuple[float, float], rng: np.random.Generator
) -> Float[np.ndarray, "frames sizes"]:
    """Independent slow wanderings with these standard deviations."""
    return np.stack([curves.drift(rng, times, size, band_hz) for size in sizes], axis=1)


def held(times: np.ndarray, event: Event, rise_s: float) -> Float[np.ndarray, "frames"]:
    """0 -> 1 -> 0: rises, stays, and takes twice as long to go, the last half of it after the event's end."""
    rise_s = min(rise_s, event.duration_s / 2)
    end_s = event.time_s + event.duration_s
    return curves.step(times, event.time_s, rise_s) * (1 - curves.step(times, end_s - rise_s, 2 * rise_s))


def blink(times: np.ndarray, start_s: float, duration_s: float) -> Float[np.ndarray, "frames"]:
    """Lids close in a third of the time and open in the rest; fully closed for at least a frame."""
    peak_s = start_s + duration_s / 3
    closing = curves.step(times, start_s, duration_s / 3)
    opening = 1 - curves.step(times, peak_s + 1 / FRAME_RATE, duration_s * 2 / 3)
    return np.minimum(closing, opening)
