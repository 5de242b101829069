"""Runs that start from a trained listener or from HA2G's audio encoder."""

import dataclasses

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clip_folder import make_folder
from models_helpers import TINY, random_variables
from training_configs import make_config
from training_toy import WORD_SIZE

from lhg_jax.config import LoopConfig, StartConfig
from lhg_jax.contract import FeatureSpec
from lhg_jax.data.records import open_source
from lhg_jax.features import MEL_BANDS
from lhg_jax.listener_checkpoint import ListenerModel, save_listener, template
from lhg_jax.models.audio_encoder import AudioEncoder
from lhg_jax.models.vico_lstm import ViCoConfig
from lhg_jax.motion import DEEP3D, LANDMARK
from lhg_jax.training import loop
from lhg_jax.training.setup import TrainingSetup, build_model
from lhg_jax.training.sharding import make_mesh
from lhg_jax.training.warm_start import start_variables, with_variables
from lhg_jax.util.errors import UserError
from lhg_jax.weights import save_weights

VICO = ViCoConfig(coeff=LANDMARK.size, hidden=4, layers=1)  # the model of `make_config`
HA2G_SCALE = dataclasses.replace(TINY, coeff=LANDMARK.size, mel_offset_db=0.0, mel_scale_db=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips")
    make_folder(path)
    return path


def random_listener(path, config, space=LANDMARK, word_size=WORD_SIZE):
    """Saves a listener with random weights and a motion scale of its own; returns its variables."""
    model = build_model(config)
    rng = np.random.default_rng(7)
    features = FeatureSpec(word_size=word_size, space=space.name)
    shapes = template(model, features)
    variables = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype(x.dtype), shapes)
    save_listener(path, ListenerModel(model, variables, features), {})
    return variables


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    """(file, what is in it) for the model of `make_config`."""
    path = tmp_path_factory.mktemp("weights") / "listener.safetensors"
    return path, random_listener(path, VICO)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """(file, variables) of an audio encoder, as the conversion of HA2G's leaves it."""
    module = AudioEncoder(TINY.audio_filters, TINY.audio_depths, TINY.level_size)
    steps = jnp.zeros((1, 6, MEL_BANDS))
    variables = random_variables(module, steps, jnp.ones((1, 6), bool), train=False, seed=3)
    path = tmp_path_factory.mktemp("weights") / "ha2g.safetensors"
    save_weights(path, {"audio": variables}, {"source": "HA2G"})
    return path, variables


def fresh_state(config, folder):
    source = open_source(str(folder))
    return jax.device_get(TrainingSetup(config, source, None).init_state())


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def changed(before, after) -> set[tuple[str, ...]]:
    """Paths of the arrays that differ."""
    before, after = (flax.traverse_util.flatten_dict(tree) for tree in (before, after))
    return {path for path, x in before.items() if not np.array_equal(x, after[path])}


@pytest.mark.parametrize("fsdp", [1, 4])
def test_run_starts_from_a_listener(folder, listener, fsdp):
    path, variables = listener
    train = LoopConfig(batch_size=8, steps=4, fsdp=fsdp)
    state = fresh_state(make_config(folder, train=train, start=StartConfig(listener=str(path))), folder)
    assert_equal(state.eval_variables, variables)
    assert_equal(state.params, variables["params"])
    assert int(state.step) == 0
    assert all(not np.any(x) for x in jax.tree.leaves(state.opt_state))


def test_started_run_trains_on_and_resumes_from_its_own_save(folder, listener, tmp_path):
    """Its averaged and its own parameters are two arrays: a step gives the state's memory away."""
    start = StartConfig(listener=str(listener[0]))
    started = loop.train(make_config(folder, steps=2, start=start), tmp_path / "run")
    assert started.finished
    gone = StartConfig(listener=str(tmp_path / "gone.safetensors"))
    again = loop.train(make_config(folder, steps=2, start=gone), tmp_path / "run")
    assert_equal(jax.device_get(again.state.params), jax.device_get(started.state.params))


def test_run_starts_from_an_audio_encoder(folder, encoder):
    path, variables = encoder
    config = make_config(folder, model=HA2G_SCALE, start=StartConfig(audio_encoder=str(path)))
    mesh = make_mesh(1)
    plain = fresh_state(dataclasses.replace(config, start=StartConfig()), folder)
    found = start_variables(config, FeatureSpec(word_size=WORD_SIZE), plain.eval_variables)
    state = jax.device_get(with_variables(plain, found, mesh))
    for params in (state.params, state.ema_params):
        assert_equal(params["audio_encoder"], variables["params"])
        assert {path[0] for path in changed(plain.params, params)} == {"audio_encoder"}
    assert_equal(state.batch_stats["audio_encoder"], variables["batch_stats"])
    assert {path[0] for path in changed(plain.batch_stats, state.batch_stats)} == {"audio_encoder"}
    assert_equal(state.constants, plain.constants)


def test_audio_encoder_replaces_that_of_a_listener(folder, encoder, tmp_path):
    whole = random_listener(tmp_path / "x.safetensors", HA2G_SCALE)
    start = StartConfig(str(tmp_path / "x.safetensors"), str(encoder[0]))
    config = make_config(folder, model=HA2G_SCALE, start=start)
    found = start_variables(config, FeatureSpec(word_size=WORD_SIZE), whole)
    assert_equal(found["params"]["audio_encoder"], encoder[1]["params"])
    assert {path[1] for path in changed(whole, found)} == {"audio_encoder"}


def refused(match, folder, start, model=VICO):
    """Shapes are enough: nothing is compiled before the weights are known to fit."""
    source = open_source(str(folder))
    setup = TrainingSetup(make_config(folder, model=model, start=start), source, None)
    with pytest.raises(UserError, match=match):
        setup.init_state()


def test_listeners_that_do_not_fit(folder, listener, tmp_path):
    start, gone = StartConfig(listener=str(listener[0])), StartConfig(listener=str(tmp_path / "gone"))
    refused(r"gone: no such file", folder, gone)
    wider = dataclasses.replace(VICO, hidden=5)
    refused(r"holds another model than this run's \(hidden 4 instead of 5\)", folder, start, wider)
    refused(r"\(ViCoConfig instead of ListenerConfig\)", folder, start, HA2G_SCALE)
    config = make_config(folder, start=start, model=dataclasses.replace(VICO, dropout=0.5))
    assert_equal(fresh_state(config, folder).params, listener[1]["params"])


def test_listeners_for_other_data(folder, tmp_path):
    path = tmp_path / "x.safetensors"
    start = StartConfig(listener=str(path))
    random_listener(path, dataclasses.replace(VICO, coeff=DEEP3D.size), DEEP3D)
    refused(r"x.safetensors: space deep3d; this run's clips: space landmark \(prepare", folder, start)
    random_listener(path, HA2G_SCALE, word_size=WORD_SIZE + 1)
    refused(r"word_size 7; this run's clips: word_size 6 \(prepare", folder, start, HA2G_SCALE)


def test_audio_encoders_that_do_not_fit(folder, encoder, listener):
    start, other = StartConfig(audio_encoder=str(encoder[0])), StartConfig(audio_encoder=str(listener[0]))
    refused(r"listener.safetensors: not written by .*convert_weights", folder, other, HA2G_SCALE)
    refused(r"this model has no audio encoder", folder, start)
    scaled = dataclasses.replace(HA2G_SCALE, mel_scale_db=20.0)
    refused(r"needs model.mel_offset_db=0 and", folder, start, scaled)
    larger = dataclasses.replace(HA2G_SCALE, level_size=6)
    refused(r"wrong shape: params/.*\(\d+, 5\) instead of", folder, start, larger)
