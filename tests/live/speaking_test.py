"""Speech is told from what lies under it; music or noise ten decibels lower hardly changes its features."""

import numpy as np
import pytest
from sounds import PAUSE_S, PHRASE_S, UNDER, at_level, noise, speaks, voice

from lhg_jax.live.idle import SILENT_S
from lhg_jax.live.speaking import Speaking
from lhg_jax.speech.causal import HearingState, hear
from lhg_jax.speech.log_mel import STEP_RATE, log_mel, mel_decibels

SECONDS = 24


def heard(wave):
    """Log-mel as a live listener hears it."""
    return hear(HearingState(), mel_decibels(wave, 2 * 30 * SECONDS, STEP_RATE))[1]


def silence_decided(wave):
    """Whether each frame comes after so long without speech that a live listener shuts the mouth."""
    speaking, silent_s, decided = Speaking(), 0.0, []
    for level_db in heard(wave).max(axis=1).reshape(-1, 2).max(axis=1):
        silent_s = 0.0 if speaking(float(level_db)) else silent_s + 1 / 30
        decided.append(silent_s > SILENT_S)
    return np.array(decided)


def phrases_and_pauses():
    """Frames in a phrase, and frames late in a pause, both after the first 6 s."""
    second = (np.arange(30 * SECONDS) + 0.5) / 30
    place = second % (PHRASE_S + PAUSE_S)
    return (place < PHRASE_S) & (second > 6), (place > PHRASE_S + SILENT_S + 0.2) & (second > 6)


def mixtures():
    return {"alone": voice(SECONDS)} | {
        name: voice(SECONDS) + at_level(under(SECONDS), -30) for name, under in UNDER.items()
    }


@pytest.mark.parametrize("kind", ["alone", "fan"])
def test_pauses_are_silence_and_phrases_are_not(kind):
    decided = silence_decided(mixtures()[kind])
    phrase, pause = phrases_and_pauses()
    assert decided[pause].mean() > 0.85 and decided[phrase].mean() < 0.05


def test_a_phrase_above_music_is_not_silence():
    """Pauses with music in them are none of it, for its notes come and go as words do."""
    assert silence_decided(mixtures()["music"])[phrases_and_pauses()[0]].mean() < 0.05


@pytest.mark.parametrize("level_db", [-70, -40, -20])
def test_a_fan_alone_is_silence(level_db):
    assert silence_decided(at_level(noise(SECONDS), level_db))[60:].mean() > 0.95


def test_a_fan_that_is_switched_on_is_silence_some_seconds_later():
    wave = at_level(noise(SECONDS), -70)
    wave[10 * 16000 :] = at_level(noise(SECONDS - 10), -40)
    decided = silence_decided(wave)
    assert decided[60:300].mean() > 0.95 and not decided[310:340].any() and decided[-60:].all()


def test_silence_is_silence():
    assert silence_decided(np.zeros(16000 * SECONDS, np.float32))[30:].all()


@pytest.mark.parametrize("under", UNDER)
def test_what_is_loud_in_speech_is_heard_as_without_the_rest(under):
    """The reference of the decibels moves by less than 1, offline and live; so do the loud bands."""
    clean, mixed = mixtures()["alone"], mixtures()[under]
    spoken = np.repeat(speaks(SECONDS)[:: 16000 // 30][: 30 * SECONDS], 2)
    for features in (heard, lambda wave: log_mel(wave, 30 * SECONDS)[: len(spoken)]):
        a, b = features(clean), features(mixed)
        loud = (a > -20) & spoken[:, None]
        assert np.median(np.abs(a - b)[loud]) < 1.0 and np.percentile(np.abs(a - b)[loud], 90) < 4.0
