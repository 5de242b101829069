"""How the speaker of a synthetic dyad moves: lips, a face with feeling, beats, a wandering head."""

import dataclasses

import numpy as np
import scipy.ndimage
from jaxtyping import Float

from lhg_jax.face_model import action
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.simulator.curves import bump, drift, frame_times, random_times, smooth_noise, spread
from lhg_jax.simulator.pitch import PITCH_RATE
from lhg_jax.simulator.speech import Speech


@dataclasses.dataclass(frozen=True)
class SpeakerParams:
    """Sizes of a speaker's movements (angles in degrees, actions as a share of the full action).

    Attributes:
      base_angle: standard deviation of the pose that a clip starts from (pitch, yaw, roll).
      drift_angle: standard deviation of the slow wandering (pitch, yaw, roll), below `drift_hz`.
      drift_hz: frequencies of the wandering, Hz.
      stillness: share of the wandering that is left in silence.
      beat_angle: depth of a head beat, and `beat_share` of stressed words carry one (Hadar et al. 1983).
      beat_s: length of a beat, s.
      smile: size of the expression that goes with a sentiment word; it lasts `smile_hold_s` after the word.
      blink_per_min: blinks beside those at the end of phrases.
      noise_angle, noise_exp, noise_trans: standard deviations of tracking-like noise.
    """

    base_angle: tuple[float, float, float] = (3.0, 6.0, 2.0)
    drift_angle: tuple[float, float, float] = (2.5, 5.0, 2.5)
    drift_hz: tuple[float, float] = (0.04, 0.2)
    stillness: float = 0.2
    beat_angle: tuple[float, float] = (2.0, 4.0)
    beat_share: float = 0.5
    beat_s: float = 0.4
    smile: float = 0.6
    smile_hold_s: float = 0.6
    blink_per_min: float = 12.0
    noise_angle: float = 0.2
    noise_exp: float = 0.003
    noise_trans: float = 0.003


# Mouth opening by the first letter of espeak-ng's mnemonic; other consonants open a little, bilabials close.
_OPENNESS = {
    "a": 1.0,
    "A": 1.0,
    "V": 0.8,
    "O": 0.8,
    "0": 0.8,
    "E": 0.6,
    "e": 0.6,
    "o": 0.6,
    "@": 0.4,
    "3": 0.4,
}
_OPENNESS |= {"I": 0.35, "i": 0.3, "U": 0.3, "u": 0.25, "m": 0.0, "b": 0.0, "p": 0.0, "f": 0.05, "v": 0.05}
_CONSONANT = 0.15
_BILABIAL = frozenset("mbp")


def compose(
    base: Float[np.ndarray, "70"], actions: dict[str, np.ndarray], angle_deg: np.ndarray, noise: np.ndarray
) -> Motion:
    """Motion = base + noise + actions (a curve over frames each) + angles (degrees), LANDMARK space."""
    values = base + noise
    for name, curve in actions.items():
        values[:, LANDMARK.slice("exp")] += curve[:, None] * action(name)
    values[:, LANDMARK.slice("angle")] += np.deg2rad(angle_deg)
    return Motion(LANDMARK, values.astype(np.float32))


def noise_scales(angle_deg: float, exp: float, trans: float) -> Float[np.ndarray, "70"]:
    """Standard deviation of the noise on every coefficient (exp: the later, rougher modes move less)."""
    roughness = np.tile(1 / np.sqrt(1 + np.arange(32)), 2)
    return np.concatenate([exp * roughness, np.full(3, np.deg2rad(angle_deg)), np.full(3, trans)])


def speaker_motion(speech: Speech, frames: int, rng: np.random.Generator, params: SpeakerParams) -> Motion:
    """The speaker's motion in the LANDMARK space, `frames` long."""
    times = frame_times(frames)
    base = np.zeros(LANDMARK.size)
    base[LANDMARK.slice("angle")] = np.deg2rad(rng.normal(0, params.base_angle))
    blinks = [phrase.end_s + rng.uniform(0, 0.2) for phrase in speech.phrases]
    blinks += random_times(rng, speech.duration_s, params.blink_per_min, blinks, gap_s=1.0)
    actions = {
        **_mouth(speech, times),
        **_feeling(speech, times, params),
        "blink": np.max([bump(times, t, 0.25) for t in blinks] or [np.zeros(frames)], axis=0),
        "brow_raise": _brows(speech, times, rng),
    }
    scales = noise_scales(params.noise_angle, params.noise_exp, params.noise_trans)
    angle = _pose(speech, times, rng, params)
    return compose(base, actions, angle, smooth_noise(rng, frames, scales))


def _mouth(speech: Speech, times: np.ndarray) -> dict[str, np.ndarray]:
    """Jaw opening by phoneme and loudness, lips pressed in p, b, m."""
    opening, pressing = np.zeros(len(speech.energy)), np.zeros(len(speech.energy))
    for phoneme in speech.phonemes:
        steps = slice(round(phoneme.start_s * PITCH_RATE), round(phoneme.end_s * PITCH_RATE))
        opening[steps] = _OPENNESS.get(phoneme.text[:1], _CONSONANT)
        pressing[steps] = phoneme.text[:1] in _BILABIAL
    loudness = np.minimum(1, np.sqrt(scipy.ndimage.gaussian_filter1d(speech.energy, 4)) * 1.3)
    smooth = [scipy.ndimage.gaussian_filter1d(curve, 4) for curve in (opening * loudness, pressing)]
    steps_s = np.arange(len(speech.energy)) / PITCH_RATE
    jaw, lips = (np.interp(times, steps_s, curve) for curve in smooth)
    return {"jaw_open": jaw, "lip_press": 0.8 * lips}


def _feeling(speech: Speech, times: np.ndarray, params: SpeakerParams) -> dict[str, np.ndarray]:
    """The speaker smiles or frowns with the words, as they are said."""
    spans = [(w.start_s, w.end_s + params.smile_hold_s, float(w.valence)) for w in speech.words if w.valence]
    feeling = params.smile * scipy.ndimage.gaussian_filter1d(spread(times, spans), 5)
    return {"smile": np.maximum(feeling, 0), "frown": np.maximum(-feeling, 0)}


def _brows(speech: Speech, times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brows go up where some phrases begin."""
    chosen = [phrase for phrase in speech.phrases if rng.random() < 0.4]
    return sum((0.5 * bump(times, phrase.start_s, 0.7) for phrase in chosen), np.zeros(len(times)))


def _pose(speech: Speech, times: np.ndarray, rng: np.random.Generator, params: SpeakerParams) -> np.ndarray:
    """Angles (degrees) [frames, 3]: wandering, most of it while speaking, and beats on stressed words."""
    steps_s = np.arange(len(speech.speaking)) / PITCH_RATE
    active = scipy.ndimage.gaussian_filter1d(speech.speaking.astype(float), PITCH_RATE)
    active = params.stillness + (1 - params.stillness) * np.interp(times, steps_s, active)
    angle = np.stack([drift(rng, times, sd, params.drift_hz) for sd in params.drift_angle], axis=1)
    angle *= active[:, None]
    for word in speech.words:
        if (len(word.text) >= 5 or word.valence) and rng.random() < params.beat_share:
            angle[:, 0] += rng.uniform(*params.beat_angle) * bump(times, word.start_s, params.beat_s)
    return angle
