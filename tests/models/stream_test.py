"""A listener that streams: any pieces give the frames of the whole clip, and the future changes nothing."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest
from live_untrained import features_of
from models_helpers import COEFF, TINY, batch, random_clip, random_variables

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.models import Listener
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.moving_anchor import relative_to_anchor

FRAMES = 30
CAUSAL = dataclasses.replace(
    TINY, bidirectional=False, text_channels=(4, 4), fusion_blocks=2, layers=2, memory_s=0.5
)


def piece_of(features: SpeakerFeatures, start: int, stop: int) -> SpeakerFeatures:
    """Frames [start, stop) of a batch as they come live: frame t brings log-mel steps up to 2t + 4."""
    first = 2 * start + 3 if start else 0
    return SpeakerFeatures(
        log_mel=features.log_mel[:, first : 2 * stop + 3],
        mfcc=features.mfcc[:, start:stop],
        word_table=features.word_table,
        word_index=features.word_index[:, start:stop],
        speaker_motion=features.speaker_motion[:, start:stop],
        speaker_seen=features.speaker_seen[:, start:stop],
        in_clip=features.in_clip[:, start:stop],
    )


@functools.partial(jax.jit, static_argnames="model")
def step(model, variables, state, piece, first):
    return model.apply({**variables, **state}, piece, first, method="step", mutable=["stream"])


def stream(model, variables, features, first, cuts):
    """Predictions of all pieces between the cuts, one after the other."""
    state, found = {}, []
    for start, stop in itertools.pairwise(cuts):
        rows, state = step(model, variables, state, piece_of(features, start, stop), first)
        assert rows.shape[1] == stop - start
        found.append(rows)
    return np.concatenate(found, axis=1)


run = jax.jit(lambda model, *args: model.apply(*args, train=False), static_argnums=0)


@pytest.fixture(scope="module")
def causal():
    model = Listener(CAUSAL)
    features = batch([random_clip(FRAMES, seed) for seed in (1, 2)], FRAMES)
    first = np.random.default_rng(0).normal(size=(2, COEFF)).astype(np.float32)
    variables = random_variables(model, features, first, train=False)
    return model, variables, features, first


def test_state_is_no_part_of_the_variables(causal):
    assert "stream" not in causal[1]


@pytest.mark.parametrize("sizes", [(1,), (2,), (5,), (1, 2, 5)])
def test_any_pieces_give_the_frames_of_the_whole(causal, sizes):
    model, variables, features, first = causal
    rng, cuts = np.random.default_rng(len(sizes)), [0]
    while cuts[-1] < FRAMES:
        cuts.append(min(cuts[-1] + int(rng.choice(sizes)), FRAMES))
    whole = run(model, variables, features, first).motion
    rows = stream(model, variables, features, first, cuts)
    np.testing.assert_allclose(rows[:, :-1], whole[:, 1:], atol=1e-5)
    assert np.abs(whole[:, 1:] - first[:, None]).max() > 0.1


def heard_and_seen(wave: np.ndarray, motion: np.ndarray) -> SpeakerFeatures:
    """A batch of one clip, by the features of a live listener."""
    return features_of(wave, FRAMES, relative_to_anchor(Motion(LANDMARK, motion)).values)


def test_the_future_changes_nothing_from_the_sound_to_the_motion():
    """Features and network together: what is said and done after a moment moves no earlier frame."""
    model = Listener(dataclasses.replace(CAUSAL, coeff=LANDMARK.size))
    rng = np.random.default_rng(0)
    wave = (0.2 * rng.normal(size=16000) * np.linspace(0.1, 1, 16000)).astype(np.float32)
    motion, first = (
        rng.normal(size=(FRAMES, 70)).astype(np.float32),
        rng.normal(size=(1, 70)).astype(np.float32),
    )
    features = heard_and_seen(wave, motion)
    variables = random_variables(model, features, first, train=False)
    before = run(model, variables, features, first).motion[0]
    for frame in rng.integers(2, FRAMES - 4, 5):
        # Step 2t + 4 is the last that frame t hears, to half a window after its centre.
        cut = round((2 * int(frame) + 4) / 60 * 16000) + 512
        other_wave, other_motion = wave.copy(), motion.copy()
        other_wave[cut:] = 3 * rng.normal(size=16000 - cut)
        other_motion[frame + 1 :] = rng.normal(size=(FRAMES - frame - 1, 70))
        after = run(model, variables, heard_and_seen(other_wave, other_motion), first).motion[0]
        np.testing.assert_allclose(after[: frame + 2], before[: frame + 2], atol=1e-5)
        assert np.abs(after[frame + 2 :] - before[frame + 2 :]).max() > 1e-3
