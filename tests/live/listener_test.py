"""A live session: due frames, stalls, silence, and the frames of the offline listener."""

import dataclasses

import jax
import numpy as np
import pytest
from live_untrained import CONFIG, WORD_SIZE, features_of, untrained_listener, voice

from lhg_jax.contract import FeatureSpec
from lhg_jax.face_model import action
from lhg_jax.features import crop_features
from lhg_jax.listener_checkpoint import DEMO, ListenerModel
from lhg_jax.live import listener as module
from lhg_jax.live.listener import LiveListener
from lhg_jax.live.manner import SMILE, Manner
from lhg_jax.live.sound import LiveSound
from lhg_jax.models.listener import Listener
from lhg_jax.motion import LANDMARK
from lhg_jax.render.mesh.renderer import MeshRenderer
from lhg_jax.speech.causal import causal_spec
from lhg_jax.streamed_inference import Stream
from lhg_jax.util.errors import UserError


@pytest.fixture(scope="module")
def untrained():
    return untrained_listener()


@pytest.mark.slow
def test_frame_by_frame_equals_the_clip(untrained):
    """From the sound to the motion: packets through `LiveSound` and `Stream`, and a clip in long pieces."""
    frames, first = 70, np.random.default_rng(0).normal(0, 0.1, 70).astype(np.float32)
    wave = voice(2.5)
    clip = jax.tree.map(lambda x: x[0], features_of(wave, frames))
    whole = untrained.generate(clip, first)
    batch = jax.tree.map(lambda x: x[None], clip)
    alone = untrained.model.apply(
        jax.device_put(untrained.variables), batch, first[None], train=False
    ).motion[0]
    np.testing.assert_allclose(whole, alone, atol=1e-5)
    sound, network = LiveSound(), Stream(untrained.model, untrained.variables, first)
    sound.push(wave, 0)
    rows = []
    for frame in range(20):
        log_mel, mfcc = sound.advance(frame)
        piece = crop_features(clip, frame, 1, 1).replace(log_mel=log_mel, mfcc=mfcc)
        rows.append(network.step(piece)[0])
    np.testing.assert_allclose(np.stack(rows), whole[1:21], atol=2e-4)


@pytest.fixture
def session(monkeypatch):
    """A live listener without a network or a renderer: each frame's answer is the portrait's face."""
    portrait = np.random.default_rng(0).normal(0, 0.02, 70).astype(np.float32)
    fit = dataclasses.make_dataclass("Fit", ["values"])(portrait)
    steps = []

    class Network:
        def __init__(self, model, variables, first):
            self.first = first

        def restart(self, first=None):
            self.first = self.first if first is None else first
            steps.clear()

        def step(self, piece):
            steps.append(piece.log_mel)
            return self.first[None]

    model = ListenerModel(Listener(CONFIG), {}, causal_spec(FeatureSpec(word_size=WORD_SIZE)))
    monkeypatch.setattr(module, "Stream", Network)
    monkeypatch.setattr(module, "MeshRenderer", lambda image, fit: object.__new__(MeshRenderer))
    monkeypatch.setattr(module.LandmarkTracker, "track_image", lambda self, image: fit)
    live = LiveListener(np.zeros((8, 8, 3), np.uint8), model)
    return live, steps


def talk(live, start_s, seconds, wave=None, every_s=0.03):
    """Pushes sound in packets and asks for frames; the frames, with the time at which each one came."""
    made = []
    for packet in range(round(seconds / every_s)):
        at_s = start_s + packet * every_s
        if wave is not None:
            live.push_audio(wave[round(packet * every_s * 16000) :][: round(every_s * 16000)], at_s)
        made += [(at_s + every_s, frame) for frame in live.frames(at_s + every_s)]
    return made


def test_thirty_frames_a_second_in_time(session):
    live, _ = session
    made = talk(live, 100.0, 4.0, voice(4.0))
    times = [frame.time_s for _, frame in made]
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)
    assert times[0] == pytest.approx(100 + 1 / 30) and len(made) > 4 * 30 - 6
    assert max(came - frame.time_s for came, frame in made) < 0.12


def test_without_sound_it_goes_on(session):
    live, _ = session
    live.frames(0.0)
    made = talk(live, 0.0, 3.0)
    assert len(made) > 3 * 30 - 9 and all(np.isfinite(frame.motion).all() for _, frame in made)


def test_a_short_delay_is_caught_up_with_and_a_stall_is_not(session):
    live, steps = session
    wave = voice(8.0)
    talk(live, 0.0, 1.0, wave)
    done = len(steps)
    live.push_audio(wave[16000:20000], 1.0)
    assert 5 <= len(live.frames(1.25)) <= 9, "every frame of the model is stepped through"
    live.push_audio(wave[20000:80000], 1.25)
    late = live.frames(5.0)
    assert len(late) < 10 and late[-1].time_s > 4.7, "it has jumped to now"
    assert len(steps) < done + 20
    after = talk(live, 5.0, 1.0, wave[80000:])
    times = [frame.time_s for _, frame in after]
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)
    assert len(after) >= 27


def test_a_manner_is_taken_up_within_two_seconds_and_forgotten_by_the_next_session(session):
    def smile(frame):
        direction = action("smile")
        return float(frame.motion[LANDMARK.slice("exp")] @ direction / (direction @ direction))

    live, _ = session
    before = [smile(frame) for _, frame in talk(live, 0.0, 1.0)]
    live.manner = Manner(1.0, 1.0)
    after = [smile(frame) for _, frame in talk(live, 1.0, 2.0)]
    assert max(np.abs(np.diff([before[-1], *after]))) < 0.1, "nothing jumps"
    assert after[-1] - before[-1] == pytest.approx(SMILE, abs=0.05)
    live.restart()
    assert live.manner == Manner()


def test_another_portrait_in_the_same_session(session, monkeypatch):
    live, _ = session
    talk(live, 0.0, 0.5)
    other = np.random.default_rng(1).normal(0, 0.02, 70).astype(np.float32)
    fit = dataclasses.make_dataclass("Fit", ["values"])(other)
    monkeypatch.setattr(module.LandmarkTracker, "track_image", lambda self, image: fit)
    live.change_portrait(np.zeros((8, 8, 3), np.uint8))
    pose = np.r_[LANDMARK.slice("trans")]
    [first, *_] = [frame for _, frame in talk(live, 10.0, 1.0)]
    np.testing.assert_allclose(first.motion[pose][0], other[pose][0], atol=1e-6)


def test_a_listener_of_whole_clips_is_refused():
    with pytest.raises(UserError, match=r"demo.safetensors: hears whole clips .*configs/demo_live.py"):
        LiveListener(np.zeros((8, 8, 3), np.uint8), DEMO)


def test_without_a_live_listener_in_the_package_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "LIVE_DEMO", tmp_path / "demo_live.safetensors")
    with pytest.raises(UserError, match=r"demo_live.safetensors: .*make demo-live-model"):
        LiveListener(np.zeros((8, 8, 3), np.uint8))
