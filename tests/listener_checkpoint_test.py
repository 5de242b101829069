"""A checkpoint says how it is run: sizes of its inputs, windows, what they mean; old files still open."""

import dataclasses

import jax
import numpy as np
import pytest
from features_test import random_clip

from lhg_jax.contract import VICO_COMPAT, FeatureSpec, InferenceSpec
from lhg_jax.listener_checkpoint import ListenerModel, load_listener, save_listener, template
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener
from lhg_jax.motion import LANDMARK
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights, save_weights

BASELINE_AUDIO = FeatureSpec(mfcc=VICO_COMPAT, mfcc_size=45, word_size=8)


@pytest.fixture(scope="module")
def trained():
    """A listener of the ViCo baseline's size of audio, trained on crops of 30 frames."""
    model, rng = ViCoListener(ViCoConfig(coeff=LANDMARK.size, hidden=4, layers=1)), np.random.default_rng(0)
    shapes = template(model, BASELINE_AUDIO)
    variables = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(np.float32), shapes)
    return ListenerModel(model, variables, BASELINE_AUDIO, inference=InferenceSpec.for_crop(30))


def clip_of(frames: int, columns: int):
    clip = random_clip(frames, 5)
    return clip.replace(mfcc=np.random.default_rng(1).normal(size=(frames, columns)).astype(np.float32))


def test_a_listener_of_other_sizes_is_read_and_run_in_its_own_windows(trained, tmp_path):
    path = tmp_path / "x.safetensors"
    save_listener(path, trained, {})
    loaded = load_listener(path)
    assert loaded.features == BASELINE_AUDIO and loaded.inference == InferenceSpec(30, 10, 9)
    assert loaded.count_windows(70) == 3
    motion = loaded.generate(clip_of(70, 45), np.zeros(LANDMARK.size, np.float32))
    assert motion.shape == (70, LANDMARK.size) and np.isfinite(motion).all()


def test_features_of_other_sizes_are_refused_by_name(trained, tmp_path):
    path = tmp_path / "x.safetensors"
    save_listener(path, trained, {})
    with pytest.raises(UserError, match=rf"{path}: mfcc_size 45; the features: mfcc_size 39 \(extract"):
        load_listener(path).generate(clip_of(40, 39), np.zeros(LANDMARK.size, np.float32))
    other = dataclasses.replace(BASELINE_AUDIO, log_mel="running/1", causal=True)
    with pytest.raises(UserError, match=r"log_mel loudest_step/1, causal False; DATA: log_mel running/1"):
        load_listener(path).require_features("DATA", other, "prepare")


def test_files_from_before_the_specs_still_open(trained, tmp_path):
    """They are run as all of them were, in windows of 178 frames; their MFCC columns are counted."""
    path = tmp_path / "x.safetensors"
    save_listener(path, trained, {})
    variables, metadata = load_weights(path)
    old = {name: metadata[name] for name in ("model", "config")} | {"space": "landmark", "word_size": "8"}
    save_weights(path, variables, old)
    loaded = load_listener(path)
    assert loaded.features == BASELINE_AUDIO and loaded.inference == InferenceSpec(178, 60, 64)
    save_weights(path, variables, {k: v for k, v in old.items() if k != "space"})
    with pytest.raises(UserError, match=r"x.safetensors: not a listener saved by this project"):
        load_listener(path)


def test_the_shipped_listener_opens():
    listener = load_listener(None)
    assert listener.features.space == "landmark" and listener.inference.anchor == "first_frame"
