"""The simulator: espeak-ng binding, pitch, grammar, rules, and the same bytes everywhere."""

import concurrent.futures
import dataclasses
import hashlib
import itertools
import multiprocessing
import re
import sys

import numpy as np
import pytest

from lhg_jax.face_model import action
from lhg_jax.motion import LANDMARK
from lhg_jax.simulator import curves
from lhg_jax.simulator.dyads import Dyad, DyadParams, dyads_for_hours, split_seed, synthesise
from lhg_jax.simulator.grammar import sentence, valences, vocabulary
from lhg_jax.simulator.pitch import PITCH_RATE, low_pitch_cues, track_pitch
from lhg_jax.simulator.rules import ListenerParams, Style, expected_events, first_frame, random_style
from lhg_jax.simulator.speech import SAMPLE_RATE, SpeechParams
from lhg_jax.simulator.voice import Espeak, Token, VoiceSettings
from lhg_jax.util.errors import MissingExtraError, UserError

VOICE = VoiceSettings("en-us+f2")


def tokens(text: str) -> list[Token]:
    return [Token(word) for word in text.split()]


def digest(dyad: Dyad) -> str:
    arrays = (dyad.wave, dyad.speaker.values, dyad.listener.values)
    text = repr((dyad.words, dyad.style, dyad.events))
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays) + text.encode()).hexdigest()


def digest_of(index: int) -> str:
    return digest(synthesise(5, index))


@pytest.fixture(scope="module")
def dyads() -> list[Dyad]:
    return [synthesise(5, index) for index in range(12)]


# voice


def test_every_token_gets_its_time_also_where_espeak_joins_words():
    text = "a lot of the people of the town do not like it"
    with Espeak() as espeak:
        utterance = espeak.speak(tokens(text), ".", VOICE)
    assert [word.text for word in utterance.words] == text.split()
    edges = np.array([(word.start_s, word.end_s) for word in utterance.words])
    assert (np.diff(edges.ravel()) >= 0).all() and (edges[:, 1] > edges[:, 0] + 0.03).all()
    np.testing.assert_allclose(edges[1:, 0], edges[:-1, 1])
    assert edges[-1, 1] <= len(utterance.samples) / utterance.sample_rate
    loud = np.abs(utterance.samples[: int(0.9 * edges[-1, 1] * utterance.sample_rate)])
    assert 0.1 < loud.max() <= 1


@pytest.mark.parametrize("name", ["en-us+f3", "en-us+m1", "en-us+Andy"])  # breath, flutter, neither
def test_what_was_said_before_leaves_no_trace(name):
    voice = dataclasses.replace(VOICE, name=name)
    with Espeak() as espeak:
        first = espeak.speak(tokens("we all felt happy"), ".", voice)
        espeak.speak(tokens("and so did I"), ",", voice)
    with Espeak() as espeak:
        again = espeak.speak(tokens("we all felt happy"), ".", voice)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes


def test_pitch_of_a_token_is_heard():
    with Espeak() as espeak:
        high, low = (
            espeak.speak([Token(w, percent) for w in ["our", "lovely", "meadow"]], ".", VOICE)
            for percent in (0, -35)
        )
    medians = [np.median(f0[f0 > 0]) for f0 in (track_pitch(u.samples, u.sample_rate) for u in (high, low))]
    assert 0.75 * medians[0] < medians[1] < 0.9 * medians[0]


def test_voice_errors_name_the_way_out(monkeypatch):
    with Espeak() as espeak:
        with pytest.raises(UserError, match="no voice 'nobody'"):
            espeak.speak(tokens("hello"), ".", VoiceSettings("nobody"))
        with pytest.raises(ValueError, match="'<b>' is not one word"):
            espeak.speak([Token("<b>")], ".", VOICE)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtraError, match=re.escape("[synthetic]")):
        Espeak()


# pitch


@pytest.mark.parametrize("start_hz, end_hz", [(75, 130), (300, 160)])
def test_pitch_of_a_gliding_tone(start_hz, end_hz):
    times = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    hz = np.linspace(start_hz, end_hz, len(times))
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    wave = sum(np.sin(k * phase + k) / k for k in range(1, 8)) * 0.1
    f0 = track_pitch(wave)
    steps = np.arange(10, 190)
    np.testing.assert_allclose(f0[steps], np.interp(steps / PITCH_RATE, times, hz), rtol=0.015)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE) * 0.1
    assert (track_pitch(noise) > 0).mean() < 0.05
    assert not track_pitch(np.zeros(SAMPLE_RATE)).any()


def test_cue_is_the_end_of_a_phrase_whose_last_sounds_are_low():
    options = {"percentile": 30.0, "region_s": 0.11, "speech_s": 0.7, "final_s": 0.25}
    f0, speaking = np.full(700, 200.0), np.ones(700, bool)
    speaking[[50, 200, 300, 400, 500, 600]] = False  # a pause after each of six phrases
    f0[30:50] = 100  # too early in the speech
    f0[192:200] = 100  # too short
    f0[250:265] = 100  # too long before the end
    f0[375:395] = 100
    f0[480:500] = np.where(np.arange(20) % 8 == 0, 0, 100)  # broken
    f0[580:600] = 100
    cues = low_pitch_cues(f0, speaking, **options)
    assert cues == [pytest.approx(3.99), pytest.approx(5.99)]
    assert low_pitch_cues(np.zeros(9), np.ones(9, bool), **options) == []


# grammar


def test_negation_turns_sentiment_round_within_a_phrase():
    assert valences(tuple(["the", "soup", "was", "delicious"])) == [0, 0, 0, 1]
    assert valences(tuple(["the", "soup", "was", "not", "delicious"])) == [0, 0, 0, 0, -1]
    assert valences(tuple(["awful", "but", "never", "boring"])) == [-1, 0, 0, 1]


@pytest.mark.parametrize("mood", [-1, 0, 1])
def test_sentences_say_what_they_are_asked_to(mood):
    rng = np.random.default_rng(mood + 1)
    for _ in range(200):
        phrases = sentence(rng, mood)
        signs = {valence for phrase in phrases for valence in valences(phrase.words) if valence}
        assert signs == ({mood} if mood else set()), phrases
        assert phrases[-1].end == "." and all(phrase.end == "," for phrase in phrases[:-1])
        assert all(set(phrase.words) - {"an"} <= vocabulary() for phrase in phrases)
    assert len(vocabulary()) > 200


# dyads


def test_parts_of_a_dyad_fit_together(dyads):
    for dyad in dyads:
        assert len(dyad.speaker) == len(dyad.listener) == round(len(dyad.wave) / SAMPLE_RATE * 30)
        assert 8 <= len(dyad.listener) / 30 <= 20
        assert dyad.wave.dtype == np.float32 and np.abs(dyad.wave).max() <= 1
        assert dyad.speaker.space == dyad.listener.space == LANDMARK
        assert np.abs(np.rad2deg(dyad.listener.part("angle"))).max() < 30
        assert not dyad.listener.part("trans")[0].any()
        assert {word.text for word in dyad.words} - {"an"} <= vocabulary()
        assert all(0 <= event.time_s <= dyad.speech.duration_s for event in dyad.events)


def test_same_bytes_in_another_process_and_order(dyads):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert list(pool.map(digest_of, (7, 2))) == [digest(dyads[7]), digest(dyads[2])]


def test_dyads_differ_and_splits_share_none(dyads):
    assert len({digest(dyad) for dyad in dyads}) == len(dyads)
    seeds = [split_seed(seed, split) for seed in range(4) for split in ("train", "valid", "test")]
    assert len(set(seeds)) == len(seeds)
    with pytest.raises(KeyError, match="train, valid, test"):
        split_seed(0, "dev")
    assert dyads_for_hours(1.0) == pytest.approx(3600 / 14, abs=1)


def test_mouth_opens_with_the_sound(dyads):
    spoken = [dyad for dyad in dyads if dyad.words]
    assert len(spoken) >= 9
    for dyad in spoken:
        exp = dyad.speaker.part("exp") @ action("jaw_open")
        steps = np.arange(len(dyad.speech.energy)) / PITCH_RATE
        energy = np.interp(curves.frame_times(len(dyad.speaker)), steps, dyad.speech.energy)
        assert np.corrcoef(exp, energy)[0, 1] > 0.4


def test_nobody_moves_much_in_silence():
    quiet = synthesise(0, 0, DyadParams(speech=SpeechParams(silent=1.0)))
    assert not quiet.words and {event.kind for event in quiet.events} <= {"random_blink"}
    assert np.rad2deg(quiet.listener.part("angle")).std(axis=0).max() < 0.6
    assert 0 < np.abs(quiet.wave).max() < 0.05


def test_listener_attitude_decides_how_often_it_nods(dyads):
    params = ListenerParams()

    def nods(attitude: str) -> list[float]:
        times = []
        for dyad in dyads:
            events = expected_events(dyad.speech, Style(attitude, 1.0, 0.3), params)
            onsets = [event.time_s for event in events if event.kind == "nod"]
            assert all(b - a > 1.1 for a, b in itertools.pairwise(onsets))
            times += onsets
        return times

    assert len(nods("positive")) > 1.1 * len(nods("negative")) > 5


def test_listener_is_the_mirror_image_of_the_speaker(dyads):
    late = round(30 * 0.6)
    correlations = []
    for dyad in (dyad for dyad in dyads if dyad.words):
        speaker, listener = dyad.speaker.part("angle")[:-late], dyad.listener.part("angle")[late:]
        correlations.append([np.corrcoef(a, b)[0, 1] for a, b in zip(speaker.T, listener.T, strict=True)])
    pitch, yaw, roll = np.mean(correlations, axis=0)
    assert pitch > 0.3 and yaw < -0.5 and roll < -0.5


def test_nods_and_shakes_do_not_overlap(dyads):
    params = ListenerParams()
    lengths_s = {"nod": 2 / params.nod_hz, "shake": 1.0}
    for dyad in dyads:
        busy = [(e.time_s, e.time_s + lengths_s[e.kind]) for e in dyad.events if e.kind in lengths_s]
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(busy))


def test_first_frame_shows_the_style():
    rng = np.random.default_rng(0)
    styles = [random_style(rng) for _ in range(300)]
    frames = np.stack([first_frame(style, rng) for style in styles])
    brows = frames[:, :64] @ action("brow_raise")
    assert np.corrcoef(brows, [style.expressivity for style in styles])[0, 1] > 0.6
    assert np.corrcoef(frames[:, 64], [style.mirror_gain for style in styles])[0, 1] > 0.6
    smiles = frames[:, :64] @ action("smile")
    positive = np.array([style.attitude == "positive" for style in styles])
    assert smiles[positive].mean() > smiles[~positive].mean() + 0.1 * (action("smile") ** 2).sum()


def test_follow_is_causal_and_late_by_delay_and_two_time_constants():
    ramp = np.maximum(0, np.arange(300) - 60) / 30.0
    response = curves.follow(ramp, delay_s=0.2, time_constant_s=0.25)
    assert not response[:66].any()
    assert ramp[-1] - response[-1] == pytest.approx(0.7, abs=0.04)
