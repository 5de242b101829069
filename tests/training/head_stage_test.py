"""The second stage: batches of chunks, the loss, and a run of the command on a trunk with random weights."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clip_folder import make_folder
from training_configs import listener_config, make_config
from training_toy import WORD_SIZE

from lhg_jax.config import HeadConfig, LoopConfig, OptimizerConfig, StartConfig
from lhg_jax.contract import FeatureSpec
from lhg_jax.data.records import open_source
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import ListenerModel, load_listener, save_listener, template
from lhg_jax.models.chunks import approach
from lhg_jax.models.flow_head import FlowHead, FlowHeadConfig
from lhg_jax.styles import CODE_SIZE
from lhg_jax.training.head_constants import measure, principal_components, ridge, whitening
from lhg_jax.training.head_loss import ChunkStream, chunk_inputs, spoil
from lhg_jax.training.head_stage import train_head
from lhg_jax.training.listener_file import NAME
from lhg_jax.training.setup import build_model
from lhg_jax.training.trunk_features import TrunkFeatures, fingerprint
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights, save_weights

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tools"))
import sweep

HEAD = FlowHeadConfig(
    state=16, components=4, chunk=2, history=3, memory=1, innovations=6, width=8, blocks=1, steps=2
)
TOY = dataclasses.replace(HEAD, coeff=5, state=3)


def random_features(seed: int = 0, frames=(9, 4, 12), coeff: int = 5, state: int = 3) -> TrunkFeatures:
    rng = np.random.default_rng(seed)
    total = sum(frames)
    return TrunkFeatures(
        starts=np.cumsum([0, *frames]),
        state=rng.normal(size=(total, state)).astype(np.float16),
        mean=rng.normal(size=(total, coeff)).astype(np.float32),
        target=rng.normal(size=(total, coeff)).astype(np.float32),
        seen=np.arange(total) != 5,  # the first clip's sixth frame was lost
        codes=rng.normal(size=(len(frames), CODE_SIZE)).astype(np.float32),
    )


def test_chunks_lie_within_their_clips():
    data = random_features()
    stream = ChunkStream(data, TOY, batch_size=400, seed=1)
    batch = next(stream)
    clip_of_row = np.repeat(np.arange(3), np.diff(data.starts))
    seen = set()
    for n in range(400):
        (clip,) = np.flatnonzero((data.codes == batch.style[n]).all(axis=1))
        rows = [np.flatnonzero((data.state == row).all(axis=1))[0] for row in batch.state[n]]
        begin = rows[0] - data.starts[clip]
        seen.add((int(clip), int(begin)))
        assert rows[1] == rows[0] + 1 and (clip_of_row[rows] == clip).all() and begin >= 1
        past = np.arange(rows[0] - 3, rows[0])
        inside = past >= data.starts[clip]
        np.testing.assert_array_equal(batch.known[n], inside & (past != 5))
        assert batch.seen[n] == (5 not in range(max(rows[0] - 2, int(data.starts[clip])), rows[1] + 1))
        expected = np.where(inside[:, None], data.target[past] - data.mean[past], 0)
        np.testing.assert_array_equal(batch.residual[n, :3], expected)
        change = data.mean[rows] - data.mean[data.starts[clip]]
        np.testing.assert_allclose(batch.mean[n, 3:], change, rtol=1e-6)
    assert seen == {(c, b) for c, frames in enumerate((9, 4, 12)) for b in range(1, frames - 1)}


def test_the_stream_goes_on_where_it_was():
    first = ChunkStream(random_features(), TOY, batch_size=4, seed=1)
    second = ChunkStream(random_features(), TOY, batch_size=4, seed=1)
    next(first), next(first)
    second.set_state(first.get_state())
    jax.tree.map(np.testing.assert_array_equal, next(first), next(second))


def test_components_whiten_the_residuals():
    data = random_features(frames=(400, 300))
    mixed = (data.target - data.mean) @ np.diag([3.0, 2.0, 1.0, 0.01, 0.01]) + data.mean
    data = dataclasses.replace(data, target=mixed.astype(np.float32))
    unit = np.array([1.0, 2.0, 1.0, 1.0, 1.0])
    components = principal_components(data, unit, 3)
    drawn = ((data.target - data.mean) / unit) @ components.basis / components.scale
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), np.eye(3), atol=0.05)
    assert (np.abs(drawn) > components.largest).mean() == pytest.approx(0.001, abs=0.0006)
    assert components.share > 0.999


def test_least_squares_recovers_what_rows_say():
    rng = np.random.default_rng(3)
    rows, weights = rng.normal(size=(3000, 6)), rng.normal(size=(6, 4))
    noise = rng.normal(0, 0.1, (3000, 4))
    np.testing.assert_allclose(ridge(rows, rows @ weights + noise), weights, atol=0.02)


def test_whitened_innovations_do_not_correlate():
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(5000, 4)) @ rng.normal(size=(4, 4))
    whiten, colour = whitening(rows, 4)
    white = rows @ whiten
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(4), atol=1e-6)
    np.testing.assert_allclose(white @ colour, rows, atol=1e-6)
    fewer, back = whitening(rows, 2)
    np.testing.assert_allclose(rows @ fewer, white[:, :2], atol=1e-6)
    smallest = np.linalg.eigvalsh(rows.T @ rows / len(rows))[:2]
    assert np.square(rows - rows @ fewer @ back).sum() / len(rows) == pytest.approx(smallest.sum(), rel=1e-6)


def test_what_matters_more_counts_more_in_the_loss():
    data = random_features(frames=(300, 200))
    plain, turned = (measure(data, np.ones(5), weight, TOY) for weight in (np.ones(5), np.arange(5.0)))
    np.testing.assert_array_equal(plain.constants.colour, turned.constants.colour)
    assert plain.importance.mean() == pytest.approx(1) and plain.importance.std() > 0.01
    assert np.abs(plain.importance - turned.importance).max() > 0.05


def test_a_forecast_knows_what_follows_from_the_past():
    """Residuals that swing: where they were in two frames says where they will be."""
    rng, frames = np.random.default_rng(5), 4000
    swing = np.sin(0.7 * np.arange(frames)[:, None] + rng.uniform(0, 6, 5))
    path = swing + rng.normal(0, 0.01, (frames, 5))
    data = random_features(frames=(frames,))
    data = dataclasses.replace(data, target=data.mean + path.astype(np.float32))
    constants = measure(data, np.ones(5), np.ones(5), TOY).constants
    batch = next(ChunkStream(data, TOY, batch_size=500, seed=2))
    variables = {"constants": constants._asdict()}
    inputs, chunk = chunk_inputs(FlowHead(TOY), variables, batch)
    rise = np.asarray(chunk - inputs.past[:, -1:, :4]).reshape(500, -1)
    rows = np.asarray(approach(inputs.past, inputs.mean, TOY.memory))
    left = rise - rows @ constants.forecast
    assert left[batch.seen].std() < 0.12 * rise[batch.seen].std()


def test_what_is_spoiled_in_training():
    head = FlowHead(TOY)
    data = random_features()
    variables = {"constants": measure(data, np.ones(5), np.ones(5), TOY).constants._asdict()}
    batch = next(ChunkStream(data, TOY, batch_size=2000, seed=1))
    inputs, _ = chunk_inputs(head, variables, jax.tree.map(jnp.asarray, batch))
    spoiled = spoil(inputs, jax.random.key(0), HeadConfig(drop_history=0.3, drop_style=0.2))
    np.testing.assert_array_equal(spoiled.past, inputs.past)
    had = np.asarray(inputs.known).any(axis=1)
    lost = ~np.asarray(spoiled.known).any(axis=1)
    assert lost[had].mean() == pytest.approx(0.3, abs=0.05)
    gone = np.asarray(spoiled.style) == 0
    assert gone.all(axis=1).mean() == pytest.approx(0.2, abs=0.05)
    np.testing.assert_array_equal(gone[:, :5], gone[:, 5:10])  # a trait goes together with its being known


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """(folder of clips, file of a listener with random weights)."""
    path = tmp_path_factory.mktemp("second_stage")
    make_folder(path / "clips")
    model = build_model(listener_config(path).model)
    rng = np.random.default_rng(7)
    features = FeatureSpec(word_size=WORD_SIZE)
    shapes = template(model, features)
    variables = jax.tree.map(lambda x: rng.uniform(0.05, 0.2, x.shape).astype(x.dtype), shapes)
    save_listener(path / NAME, ListenerModel(model, variables, features), {"training": "none"})
    return path / "clips", path / NAME


def head_config(trunk, steps: int):
    clips, listener = trunk
    return make_config(
        clips,
        model=HEAD,
        start=StartConfig(listener=str(listener)),
        train=LoopConfig(batch_size=8, steps=steps, log_every=1, eval_every=100),
        optimizer=OptimizerConfig(schedule="constant", warmup_steps=1),
    )


@pytest.fixture(scope="module")
def trained(trunk, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train_head(head_config(trunk, 4), workdir)


def test_a_run_leaves_a_listener_that_draws(trained, trunk):
    workdir, summary = trained
    assert summary.finished and np.isfinite(summary.evaluation["loss"])
    listener, clip = load_listener(workdir / NAME), open_source(trunk[0])[1]
    features = clip.features.replace(
        log_mel=clip.features.log_mel.astype(np.float32),
        mfcc=clip.features.mfcc.astype(np.float32),
        word_table=clip.features.word_table.astype(np.float32),
    )
    first = np.asarray(clip.listener_motion[0])
    mean = listener.generate(features, first)
    before = load_listener(trunk[1]).generate(features, first)
    np.testing.assert_array_equal(mean, before)
    cold = listener.draw(features, first, Draw(seed=3, temperature=0.0), samples=2)
    np.testing.assert_array_equal(cold, [mean, mean])
    drawn = listener.draw(features, first, Draw(seed=3), samples=2)
    np.testing.assert_array_equal(drawn, listener.draw(features, first, Draw(seed=3), samples=2))
    np.testing.assert_array_equal(drawn[:, 0], [first, first])
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3
    alone = listener.draw(features, first, Draw(seed=4))
    np.testing.assert_allclose(alone[0], drawn[1], atol=1e-4)


def test_a_listener_without_a_head_cannot_be_drawn(trunk):
    listener, clip = load_listener(trunk[1]), open_source(trunk[0])[1]
    with pytest.raises(UserError, match="no flow head"):
        listener.draw(clip.features, np.asarray(clip.listener_motion[0]), Draw())


def test_a_head_of_an_older_kind_is_named(trained, tmp_path):
    variables, notes = load_weights(trained[0] / NAME)
    old = json.loads(notes["head"])
    del old["innovations"]
    save_weights(tmp_path / "old.safetensors", variables, notes | {"head": json.dumps(old)})
    with pytest.raises(UserError, match="older kind"):
        load_listener(tmp_path / "old.safetensors")


def test_a_run_that_stopped_ends_like_one_that_did_not(trained, trunk, tmp_path):
    train_head(head_config(trunk, 2), tmp_path)
    summary = train_head(head_config(trunk, 4), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, summary.state.params, trained[1].state.params)
    jax.tree.map(np.testing.assert_array_equal, summary.state.ema_params, trained[1].state.ema_params)


def test_a_head_needs_a_trunk_that_fits(trunk, tmp_path):
    config = head_config(trunk, 2)
    with pytest.raises(UserError, match=r"start\.listener"):
        train_head(dataclasses.replace(config, start=StartConfig()), tmp_path)
    other = dataclasses.replace(config, model=dataclasses.replace(HEAD, state=9))
    with pytest.raises(UserError, match=r"model\.state=9"):
        train_head(other, tmp_path)


@pytest.mark.slow
def test_a_sweep_trains_a_head_on_another_rows_listener(trunk, tmp_path):
    config = head_config((trunk[0], "{out}/paper/seed{seed}/" + NAME), 2)
    own = sweep.folder(tmp_path, "paper", 0) / NAME
    own.parent.mkdir(parents=True)
    shutil.copy(trunk[1], own)
    options = sweep.Options((), tmp_path, seeds=(0,))
    sweep.check({"head": config}, options)
    assert sweep.run("head", config, 0, tmp_path) == 0
    assert load_listener(sweep.folder(tmp_path, "head", 0) / NAME).head is not None
    sweep.check({"head": config}, options)  # finished, and of these settings
    other = load_listener(own)
    changed = jax.tree.map(lambda x: 1.1 * x, other.variables)
    save_listener(own, dataclasses.replace(other, variables=changed), {"training": "none"})
    with pytest.raises(UserError, match=r"trunk was \w+"):
        sweep.check({"head": config}, options)


def test_features_are_of_one_trunk_and_one_set(trunk, tmp_path):
    source = open_source(trunk[0])
    listener = load_listener(trunk[1])
    mark = fingerprint(trunk[1], listener, source)
    (tmp_path / "other").write_bytes(trunk[1].read_bytes() + b" ")
    assert fingerprint(tmp_path / "other", listener, source) != mark
