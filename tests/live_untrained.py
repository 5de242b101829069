"""A causal listener with random weights, and sound for it: shared by the tests of live sessions."""

import dataclasses

import jax
import numpy as np
from models_helpers import TINY, random_variables

from lhg_jax.contract import FeatureSpec, SpeakerFeatures
from lhg_jax.features import mel_steps
from lhg_jax.listener_checkpoint import ListenerModel, save_listener
from lhg_jax.models.listener import Listener
from lhg_jax.motion import LANDMARK
from lhg_jax.speech.causal import causal_spec, extract_causal_speech

WORD_SIZE = 3
CONFIG = dataclasses.replace(TINY, coeff=LANDMARK.size, bidirectional=False, use_text=False)
MOTION_STD = 0.02  # of a listener that moves, but not wildly


class NoWords:
    def prefix_vectors(self, words):
        return np.zeros((1, WORD_SIZE), np.float32)


def voice(seconds, seed=0):
    samples = round(16000 * seconds)
    loudness = np.interp(
        np.arange(samples) / 4000, np.arange(40), np.random.default_rng(seed).uniform(0, 1, 40)
    )
    return (0.3 * loudness**2 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def features_of(wave, frames, motion=None):
    """A batch of one: sound, no words, and the face's motion about its anchor; None: it was never seen."""
    speech = extract_causal_speech(wave, frames, [], NoWords())
    clip = SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_index=speech.word_index,
        speaker_motion=np.zeros((frames, 70), np.float32) if motion is None else motion,
        speaker_seen=np.full(frames, motion is not None),
        in_clip=np.ones(frames, bool),
    )
    assert speech.log_mel.shape[0] == mel_steps(frames)
    return jax.tree.map(lambda x: x[None], clip)


def untrained_listener():
    model = Listener(CONFIG)
    variables = random_variables(model, features_of(voice(1.0), 10), np.zeros((1, 70)), train=False)
    return ListenerModel(model, variables, causal_spec(FeatureSpec(word_size=WORD_SIZE)))


def save_untrained(path):
    """Its file, with motion of a natural size."""
    listener = untrained_listener()
    scale = {"mean": np.zeros(70, np.float32), "std": np.full(70, MOTION_STD, np.float32)}
    constants = {**listener.variables["constants"], "motion_scale": scale}
    variables = {**listener.variables, "constants": constants}
    save_listener(path, dataclasses.replace(listener, variables=variables), {"training": "none"})
    return path
