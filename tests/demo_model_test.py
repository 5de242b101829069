"""The listener that the package ships: what it does on held-out dyads, real speech and silence."""

import numpy as np
import pytest

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.listener_checkpoint import DEMO, load_listener
from lhg_jax.motion import FRAME_RATE, LANDMARK
from lhg_jax.simulator.benchmark import score, test_clips, trivial_listeners
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.extract import extract_speech
from lhg_jax.speech.sphinx import recognise


@pytest.fixture(scope="module")
def demo():
    return load_listener(None)


@pytest.fixture(scope="module")
def encoder():
    return BertEncoder.load(None)


def hear(wave: np.ndarray, encoder: BertEncoder) -> SpeakerFeatures:
    """Sound alone, as the command hears it."""
    frames = int(len(wave) / 16000 * FRAME_RATE)
    speech = extract_speech(wave, frames, recognise(wave), encoder)
    return SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_index=speech.word_index,
        speaker_motion=np.zeros((frames, LANDMARK.size), np.float32),
        speaker_seen=np.zeros(frames, bool),
        in_clip=np.ones(frames, bool),
    )


def pose_speed(values: np.ndarray) -> float:
    """Mean absolute change of the angles, degrees/s."""
    return float(np.rad2deg(np.abs(np.diff(values[:, LANDMARK.slice("angle")], axis=0)).mean()) * FRAME_RATE)


def test_weights_are_small_and_named():
    assert DEMO.stat().st_size <= 8e6
    assert (DEMO.parent / "demo_model_card.md").is_file()


def test_it_hears_the_difference_between_speech_and_silence(demo, encoder):
    clip = test_clips(0, 1, encoder)[0]
    portrait = np.zeros(LANDMARK.size, np.float32)
    talk = demo.generate(hear(clip.dyad.wave, encoder), portrait)
    silence = demo.generate(hear(np.zeros_like(clip.dyad.wave), encoder), portrait)
    assert pose_speed(silence) < 0.35 * pose_speed(talk)
    assert np.abs(silence[:, LANDMARK.slice("angle")]).max() < np.deg2rad(5)


@pytest.mark.slow
def test_it_follows_the_rules_better_than_listeners_that_do_not_hear(demo, encoder):
    clips = test_clips(0, 16, encoder)
    scores = score(lambda c: demo.generate(c.example.features, c.dyad.listener.values[0]), clips)
    others = [
        score(listens, clips) for name, listens in trivial_listeners(clips).items() if "ceiling" not in name
    ]
    for rule in ("nod_f1", "smile_correlation", "blink_recall"):
        assert scores[rule] > max(np.nan_to_num(other[rule]) for other in others) + 0.2, rule


@pytest.mark.slow
def test_real_speakers_get_different_listeners(demo, encoder, shared):
    from lhg_jax import media

    portrait = np.zeros(LANDMARK.size, np.float32)
    waves = [media.read_audio(shared / "data" / "real" / f"speech_{name}.wav") for name in "ab"]
    a, b = (demo.generate(hear(wave[: 16000 * 8], encoder), portrait) for wave in waves)
    assert pose_speed(a) > 0.3 and pose_speed(b) > 0.3
    assert np.rad2deg(np.abs(a - b)[:, LANDMARK.slice("angle")].max()) > 1.0
