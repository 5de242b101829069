"""Recorded speech: the layouts of folders, words aligned, splits by speaker, dyads with recorded voices."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from prepare_helpers import Letters, run

from lhg_jax.data.records import open_source
from lhg_jax.media.audio import write_audio
from lhg_jax.preparation import synthetic_clips
from lhg_jax.preparation.speech_folder import read_speech_folder, shared_out
from lhg_jax.preparation.voices import Voice, load_recording, save_recording, voices_of_split
from lhg_jax.preparation.word_alignment import align
from lhg_jax.simulator import sentiment
from lhg_jax.simulator.dyads import (
    keep_rules_again,
    synthesise_again,
    synthesise_human,
    synthesise_human_rules,
)
from lhg_jax.simulator.grammar import Phrase
from lhg_jax.simulator.human_voice import (
    VoiceRecording,
    analyse,
    at_speed,
    find_speech,
    human_pitch,
    phrases_of,
)
from lhg_jax.simulator.passages import passage
from lhg_jax.simulator.pitch import PITCH_RATE
from lhg_jax.simulator.rule_scores import probe
from lhg_jax.simulator.speech import SAMPLE_RATE, SpeechParams, speak_phrase
from lhg_jax.simulator.voice import Espeak, VoiceSettings
from lhg_jax.speech.words import Word
from lhg_jax.util.errors import MissingExtraError, UserError

TEXT = ("the", "train", "to", "the", "village", "leaves", "at", "seven")


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    with Espeak() as espeak:
        utterance = speak_phrase(espeak, Phrase(TEXT, "."), VoiceSettings("en-us+f2"))
    return np.pad(utterance.samples, (8000, 8000)) * np.float32(0.5)


def tone(seconds: float, pitch_hz: float = 150.0) -> np.ndarray:
    """Half a second of a buzz, half a second of next to nothing, and so on."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * pitch_hz * k * times) / k for k in range(1, 6)) * (times % 1.5 < 1)
    return (0.1 * buzz + 1e-4 * np.random.default_rng(0).standard_normal(len(times))).astype(np.float32)


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_librispeech_and_ljspeech(tmp_path):
    libri, lj = tmp_path / "libri", tmp_path / "lj"
    touch(libri / "19/198/19-198.trans.txt", "19-198-0000 NORTHANGER ABBEY\n19-198-0001 GONE\n")
    touch(libri / "19/198/19-198-0000.flac")
    listing = read_speech_folder(libri)
    assert [(r.speaker, r.text) for r in listing.recordings] == [("libri-19", "northanger abbey")]
    assert [item.uuid for item in listing.left_out] == ["19-198-0001"]
    touch(lj / "metadata.csv", "LJ001-0001|in 1455|in fourteen fifty-five\n")
    touch(lj / "wavs/LJ001-0001.wav")
    assert [r.text for r in read_speech_folder(lj).recordings] == ["in fourteen fifty-five"]


def test_flat_folder(tmp_path):
    for name in ("ann_1.wav", "ann_2.flac", "bob.ogg", "mute.wav"):
        touch(tmp_path / name)
    touch(tmp_path / "ann_1.txt", "Hello there.")
    touch(tmp_path / "bob.srt", "1\n00:00:00,000 --> 00:00:01,000\nGood day\n")
    touch(tmp_path / "ann_2.json", "[")
    listing = read_speech_folder(tmp_path)
    assert [(r.speaker, r.text, len(r.words)) for r in listing.recordings] == [
        ("ann", "Hello there.", 0),
        ("bob", "", 2),
    ]
    assert {item.uuid: item.reason[:7] for item in listing.left_out}.keys() == {"ann_2", "mute"}


def test_manifest_says_who_when_and_under_what_licence(tmp_path):
    rows = [
        {"file": "a.ogg", "speaker": "ann", "text": "hello", "redistribution": "clear"},
        {"file": "b.ogg", "speaker": "bob", "text": "x", "words": [["guten", 0, 1]], "language": "de"},
        {"file": "c.ogg", "speaker": ["ann", "cat"], "turns": [[0, 2, "ann", "so"], [2, 2.5, "cat", "mm"]]},
        {"file": "d.ogg", "speaker": ["ann", "cat"], "text": "who knows"},
        {"file": "gone.ogg", "speaker": "eve", "text": "gone"},
    ]
    for name in "abcd":
        touch(tmp_path / f"{name}.ogg")
    touch(tmp_path / "manifest.jsonl", "\n".join(map(json.dumps, rows)))
    listing = read_speech_folder(tmp_path)
    assert [(r.path.stem, r.speaker, r.clear, r.english) for r in listing.recordings] == [
        ("a", "ann", True, True),
        ("b", "bob", False, False),
        ("c", "ann", False, True),
    ]
    assert listing.recordings[2].spans == ((0.0, 2.0),)
    assert [item.uuid for item in listing.left_out] == ["d.ogg", "gone.ogg"]


@pytest.mark.parametrize("row", ['{"file": "../x.ogg", "speaker": "a"}', '{"file": "x.ogg"}', "{", "[]"])
def test_broken_manifests_are_refused_with_the_line(row, tmp_path):
    touch(tmp_path / "manifest.jsonl", f"\n{row}\n")
    with pytest.raises(UserError, match=r"manifest.jsonl: line 2"):
        read_speech_folder(tmp_path)


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.csv", "1/2/1-2.trans.txt"])
def test_lists_that_are_no_text_are_refused(name, tmp_path):
    touch(tmp_path / name).write_bytes(b"caf\xe9 |x")
    with pytest.raises(UserError, match=r"not UTF-8 text \(byte 3\)"):
        read_speech_folder(tmp_path)


def test_folders_without_speech(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_speech_folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no recording with a text"):
        read_speech_folder(tmp_path)


def test_words_are_aligned(spoken):
    text = "The train, to the village leaves at seven."
    words = align(spoken, text)
    assert [word.text for word in words] == text.split()
    times = np.array([(word.start_s, word.end_s) for word in words])
    assert (np.diff(times.ravel()) > -0.02).all()
    assert 0.3 < times[0, 0] < 0.8 and times[-1, 1] == pytest.approx(len(spoken) / SAMPLE_RATE - 0.5, abs=0.3)
    assert align(spoken, "...") == []
    assert len(align(spoken, "the train to the vyllidge leaves at seven")) == 8  # in no dictionary


def test_shared_out_words_fill_the_time():
    words = shared_out("a long word", 1.0, 2.0)
    assert [word.text for word in words] == ["a", "long", "word"]
    assert words[0].start_s == 1 and words[-1].end_s == 2 and words[0].end_s == words[1].start_s


def test_speech_pitch_and_phrases_of_a_recording():
    recording = analyse(tone(6.0), (Word("Yes.", 0.1, 0.9), Word("and", 1.6, 2.0)))
    steps = np.arange(len(recording.speaking)) / PITCH_RATE
    inside = (steps % 1.5 > 0.1) & (steps % 1.5 < 0.9)
    assert recording.speaking[inside].mean() > 0.95
    assert recording.speaking[(steps % 1.5 > 1.1) & (steps % 1.5 < 1.4)].mean() < 0.1
    voiced = recording.f0[inside & (recording.f0 > 0)]
    assert len(voiced) > 0.8 * inside.sum() and np.median(voiced) == pytest.approx(150, rel=0.03)
    assert len(recording.phrases) == 4 and recording.phrases[0].complete
    assert not find_speech(np.zeros(0, np.float32)).size
    assert phrases_of(recording.speaking[:0], ()) == ()


def test_pitch_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(MissingExtraError, match=r"'\.\[synthetic\]'"):
        human_pitch(tone(1.0), 100)


def test_recordings_are_kept(tmp_path):
    recording = analyse(tone(3.0), (Word("näh", 0.25, 0.5),))
    save_recording(tmp_path / "x.npz", recording)
    again = load_recording(tmp_path / "x.npz")
    np.testing.assert_allclose(again.wave, recording.wave, atol=1e-4)
    np.testing.assert_array_equal(again.speaking, recording.speaking)
    assert (again.words, again.phrases) == (recording.words, recording.phrases)


def test_sentiment_is_turned_round_by_negation():
    assert sentiment.valences(["a", "lovely", "day", ",", "not", "lovely", "at", "all"]) == [
        0,
        1,
        0,
        0,
        0,
        -1,
        0,
        0,
    ]
    assert sentiment.negates("Don’t,") and sentiment.negates("never") and not sentiment.negates("note")


def test_splits_and_their_parts_share_no_speaker():
    voices = [Voice(f"speaker {n}", ()) for n in range(57)]
    groups = [voices_of_split(voices, split) for split in ("train", "valid", "test")]
    halves = [voices_of_split(voices, "train", part) for part in ((0.0, 0.5), (0.5, 1.0))]
    assert [*map(len, groups)] == [47, 5, 5]
    assert {v.speaker for group in groups for v in group} == {v.speaker for v in voices}
    assert halves[0] + halves[1] == groups[0]
    assert voices_of_split(voices[::-1], "test") == groups[2]
    assert [*map(len, (voices_of_split(voices[:1], s) for s in ("train", "valid", "test")))] == [1, 0, 0]


@pytest.fixture(scope="module")
def recordings() -> list[VoiceRecording]:
    return [
        analyse(tone(4.0 + 3 * n, 110.0 + 40 * n), (Word("happy", 0.2, 0.8), Word("no", 1.6, 2.0)))
        for n in range(3)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_passage_puts_sound_words_and_pitch_together(recordings, seed):
    speech = passage(recordings, np.random.default_rng(seed), SpeechParams())
    assert 8 <= speech.duration_s <= 20 and np.abs(speech.wave).max() <= 1
    assert len(speech.f0) == len(speech.speaking) == len(speech.energy)
    loud = speech.energy > 0.3
    assert speech.speaking[loud].mean() > 0.9
    assert all(phrase.end_s <= speech.duration_s for phrase in speech.phrases) and speech.phrases
    starts = [phrase.start_s for phrase in speech.phrases]
    assert starts == sorted(starts)
    for word in speech.words:
        assert speech.speaking[round((word.start_s + word.end_s) / 2 * PITCH_RATE)]
        assert (word.valence, word.negates) == ((1, False) if word.text == "happy" else (0, True))


def test_nothing_is_said_twice_and_short_speakers_leave_silence(recordings):
    short = [dataclasses.replace(recordings[0])]
    speech = passage(short, np.random.default_rng(1), SpeechParams(clip_s=(15.0, 15.1)))
    assert sum(word.text == "happy" for word in speech.words) <= 1
    assert not speech.speaking[round(8 * PITCH_RATE) :].any()


def test_dyads_with_recorded_voices_are_the_same_again(recordings):
    one, two = (synthesise_human(recordings, 3, 5) for _ in range(2))
    np.testing.assert_array_equal(one.listener.values, two.listener.values)
    np.testing.assert_array_equal(one.wave, two.wave)
    assert len(one.speaker) == len(one.listener) == round(len(one.wave) / SAMPLE_RATE * 30)
    assert one.style != synthesise_human(recordings, 3, 6).style


def test_a_listener_that_keeps_rules_hears_what_varied_people_hear(recordings):
    rules, varied = synthesise_human_rules(recordings, 3, 5), synthesise_human(recordings, 3, 5)
    np.testing.assert_array_equal(rules.wave, varied.wave)
    np.testing.assert_array_equal(rules.speaker.values, varied.speaker.values)
    assert (rules.words, rules.uuid, varied.uuid) == (varied.words, "rules-3-000005", "human-3-000005")
    scores = probe(rules.listener, rules)
    assert scores["mirror_correlation"] > 0.95 and scores["blink_recall"] == 1.0
    for dyad in (rules, varied):
        again = synthesise_again(dyad.uuid, recordings)
        np.testing.assert_array_equal(again.listener.values, dyad.listener.values)
        assert synthesise_again(dyad.uuid) is None  # nobody knows what was said


def test_rules_another_time_differ_by_noise_and_random_blinks(recordings):
    dyad = synthesise_human_rules(recordings, 3, 6)
    again = keep_rules_again(dyad, 1)
    np.testing.assert_allclose(again.values[0], dyad.listener.values[0], atol=1e-6)
    apart = np.rad2deg(again.part("angle") - dyad.listener.part("angle"))
    assert 0.01 < apart.std() < 0.5
    foreseen = ("nod_f1", "shake_f1", "blink_recall")
    one, two = (probe(motion, dyad) for motion in (dyad.listener, again))
    assert {name: one[name] for name in foreseen} == pytest.approx(
        {name: two[name] for name in foreseen}, nan_ok=True
    )


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_a_recording_at_another_speed_is_another_voice(recordings, speed):
    before, after = recordings[0], at_speed(recordings[0], speed)
    assert len(after.wave) == pytest.approx(len(before.wave) / speed, abs=2)
    assert len(after.f0) == len(after.speaking) == len(after.wave) * PITCH_RATE // SAMPLE_RATE
    heard = analyse(after.wave, after.words)  # what anybody would hear in it
    voiced = np.median(after.f0[after.f0 > 0])
    assert voiced == pytest.approx(110 * speed, rel=0.02)
    assert np.median(heard.f0[heard.f0 > 0]) == pytest.approx(voiced, rel=0.02)
    assert np.mean(heard.speaking != after.speaking) < 0.02
    for name in ("words", "phrases"):
        times = [[(x.start_s, x.end_s) for x in getattr(r, name)] for r in (before, after)]
        np.testing.assert_allclose(np.array(times[0]) / speed, times[1], rtol=1e-9)
    assert at_speed(before, 1.0) is before


def test_preparing_from_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(synthetic_clips, "shared_encoder", Letters)
    (tmp_path / "speech").mkdir()
    for n in range(2):
        write_audio(tmp_path / f"speech/s{n}_1.wav", tone(9.0, 120 + 60 * n), SAMPLE_RATE)
        touch(tmp_path / f"speech/s{n}_1.json", '[{"word": "happy", "start": 0.2, "end": 0.8}]')
    options = (
        "--speech",
        tmp_path / "speech",
        "--hours",
        "0.008",
        "--workers",
        "1",
        "--out",
        tmp_path / "new",
    )
    run(monkeypatch, *options)
    source = open_source(tmp_path / "new")
    assert {source.info(n).speaker_id for n in range(len(source))} <= {"s0", "s1"}
    assert source[0].style.min() >= 0
    with pytest.raises(SystemExit):
        run(monkeypatch, *options[:-1], tmp_path / "other", "--split", "test")
    assert "none of its 2 speakers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(monkeypatch, *options, "--clear-licence")
    assert "no recording is marked `clear`" in capsys.readouterr().err
    rows = [{"file": f"s{n}_1.wav", "speaker": f"s{n}", "text": "ja", "language": "de"} for n in range(2)]
    touch(tmp_path / "speech" / "manifest.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit):
        run(monkeypatch, *options, "--english-only")
    assert "no recording is in English" in capsys.readouterr().err
