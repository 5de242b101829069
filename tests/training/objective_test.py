"""The objective's parts and an evaluation's sums: what counts, and how often."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_configs import make_config
from training_toy import random_batch

from lhg_jax.config import LoopConfig, LossConfig
from lhg_jax.contract import ListenerOutput
from lhg_jax.losses import MOTION
from lhg_jax.motion import LANDMARK
from lhg_jax.training.objective import EvalSums, count_groups, make_objective, measure
from lhg_jax.training.step import mean_terms
from lhg_jax.util.errors import UserError


def predict(batch, seed=0):
    """A listener that is a little off, with text and audio features."""
    rng = np.random.default_rng(seed)
    shape = batch.features.in_clip.shape
    text, *levels = (jnp.asarray(rng.normal(size=(*shape, 4)), jnp.float32) for _ in range(4))
    motion = jnp.asarray(batch.listener_motion + rng.normal(0, 0.1, batch.listener_motion.shape), jnp.float32)
    anchors = jnp.asarray((batch.features.word_index > 0) & batch.features.in_clip)
    return ListenerOutput(motion, text, tuple(levels), anchors)


def with_fillers(batch, output):
    """The same with as many clips of garbage that fill up the batch."""

    def double(x):
        return np.concatenate([x, np.ones_like(x)])

    batch, output = (jax.tree.map(double, tree) for tree in (batch, output))
    real = np.arange(len(batch.index)) < len(batch.index) // 2
    features = batch.features.replace(in_clip=batch.features.in_clip & real[:, None])
    batch = batch.replace(features=features, listener_seen=batch.listener_seen & real[:, None])
    return jax.tree.map(jnp.asarray, (batch, output.replace(anchors=output.anchors & real[:, None])))


@pytest.mark.parametrize("name", sorted(MOTION))
def test_fillers_count_nothing_in_an_evaluation(name):
    config = LossConfig(name, "paper", chunk=16)
    batch = random_batch(0, size=2)
    output = predict(batch)
    sums = {"alone": EvalSums(), "filled": EvalSums()}
    alone = measure(output, jax.tree.map(jnp.asarray, batch), config=config, space=LANDMARK)
    sums["alone"].add(jax.device_get(alone))
    more, filled = with_fillers(batch, output)
    sums["filled"].add(jax.device_get(measure(filled, more, config=config, space=LANDMARK)))
    assert sums["filled"].means() == pytest.approx(sums["alone"].means(), rel=1e-5)


def test_groups_divide_the_batch(tmp_path):
    config = make_config(tmp_path, train=LoopConfig(batch_size=96, steps=1, micro_batches=2))
    assert count_groups(config) == 1
    loss = LossConfig(negatives="group", group_clips=16)
    assert count_groups(dataclasses.replace(config, loss=loss)) == 3
    uneven = dataclasses.replace(config, loss=dataclasses.replace(loss, group_clips=32))
    with pytest.raises(UserError, match=r"loss\.group_clips=32 does not divide the 48 clips of a batch"):
        count_groups(uneven)


def test_objective_is_the_sum_of_two_means_with_their_terms():
    config = LossConfig("squared", "paper", contrastive_weight=0.3, chunk=16)
    batch = jax.tree.map(jnp.asarray, random_batch(1, size=2))
    losses = make_objective(config, LANDMARK)(predict(batch), batch)
    metrics = mean_terms(jax.tree.map(jnp.sum, losses))
    assert set(metrics) == {
        "loss", "L_dec", "L_const", "expression", "expression_change", "pose", "pose_change",
        "candidates", "spread_above_chance",
    }  # fmt: skip
    np.testing.assert_allclose(metrics["loss"], metrics["L_dec"] + 0.3 * metrics["L_const"], rtol=1e-6)
    alone = dataclasses.replace(config, contrastive="none", contrastive_weight=0.0)
    assert len(make_objective(alone, LANDMARK)(predict(batch), batch)) == 1
