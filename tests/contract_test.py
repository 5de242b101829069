"""Styles, specs and how two sides are compared; losses' sums. The masks are tested where they act."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_toy import random_batch

from lhg_jax.config import LossConfig
from lhg_jax.contract import (
    ATTITUDES,
    TRAITS,
    UNKNOWN,
    FeatureSpec,
    InferenceSpec,
    ListenerOutput,
    LossSums,
    require_same,
    spec_from_json,
    spec_to_json,
    style_vector,
)
from lhg_jax.losses import MOTION
from lhg_jax.motion import LANDMARK
from lhg_jax.training.objective import measure
from lhg_jax.util.errors import UserError


def test_what_is_not_known_of_a_style_says_so():
    unknown = style_vector()
    assert (unknown[: len(TRAITS)] == UNKNOWN).all() and not unknown[len(TRAITS) :].any()
    known = style_vector("neutral", blinks=0.25)
    assert known[TRAITS.index("blinks")] == 0.25 and known[len(TRAITS) + ATTITUDES.index("neutral")] == 1
    assert (known != unknown).sum() == 2
    with pytest.raises(KeyError, match="no trait 'winks'"):
        style_vector(winks=1.0)


@pytest.mark.parametrize("spec", [FeatureSpec(mfcc="vico_compat/1", mfcc_size=45), InferenceSpec(90, 30, 24)])
def test_specs_survive_metadata(spec):
    assert spec_from_json(type(spec), spec_to_json(spec)) == spec


def test_a_mismatch_is_one_line_with_both_sides_and_the_way_out():
    one, other = FeatureSpec(), FeatureSpec(mfcc="vico_compat/1", mfcc_size=45)
    require_same("a", one, "b", FeatureSpec(), "nothing to do")
    with pytest.raises(UserError) as error:
        require_same("demo.safetensors", one, "out/vico", other, "prepare again with --audio full")
    assert str(error.value) == (
        "demo.safetensors: mfcc mfcc/1, mfcc_size 39; out/vico: mfcc vico_compat/1, mfcc_size 45 "
        "(prepare again with --audio full)"
    )


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(FeatureSpec)])
def test_every_field_of_a_feature_spec_counts(field):
    value = getattr(FeatureSpec(), field)
    changed = f"{value}x" if isinstance(value, str) else not value if value is False else value + 1
    other = dataclasses.replace(FeatureSpec(), **{field: changed})
    with pytest.raises(UserError, match=field):
        require_same("a", FeatureSpec(), "b", other, "way out")


def test_windows_are_as_long_as_training_crops():
    assert InferenceSpec.for_crop(178).window == 178 and InferenceSpec.for_crop(178).overlap == 60
    assert InferenceSpec.for_crop(90) == InferenceSpec(90, 30, 24)


def test_sums_are_divided_once():
    rng = np.random.default_rng(0)
    sums, counts = rng.random(6).astype(np.float32), rng.integers(1, 9, 6).astype(np.float32)
    whole = LossSums(jnp.asarray(sums), jnp.asarray(counts))
    parts = [LossSums(jnp.asarray(sums[i::2]), jnp.asarray(counts[i::2])) for i in range(2)]
    added = jax.tree.map(jnp.add, *parts)
    np.testing.assert_allclose(added.mean(), whole.mean(), rtol=1e-6)
    assert float(LossSums(jnp.zeros(2), jnp.zeros(2)).mean()) == 0


@pytest.mark.parametrize("name", ["paper", "squared", "huber", "l2_accel"])
def test_a_gap_in_the_listeners_tracking_leaves_the_loss_and_nothing_else(name):
    """What is written there changes no loss; the words and sounds of those frames stay anchors."""
    batch = jax.tree.map(jnp.asarray, random_batch(0))
    assert not batch.listener_seen.all() and batch.features.in_clip.all()
    rng = np.random.default_rng(1)
    predicted = jnp.asarray(rng.normal(size=batch.listener_motion.shape).astype(np.float32))
    text = jnp.asarray(rng.normal(size=(*batch.listener_seen.shape, 4)).astype(np.float32))
    output = ListenerOutput(predicted, text, (text, text + 1, text - 1), batch.features.word_index > 0)
    moved = batch.replace(
        listener_motion=jnp.where(batch.listener_seen[..., None], batch.listener_motion, 99.0)
    )
    config = LossConfig(motion=name)
    one, two = (measure(output, x, config=config, space=LANDMARK) for x in (batch, moved))
    for key in ("L_dec", "L_const", "exp_l1", "pose_l1"):
        jax.tree.map(np.testing.assert_array_equal, one[key], two[key])
    everywhere = batch.replace(listener_seen=jnp.ones_like(batch.listener_seen))
    three = measure(output, everywhere, config=config, space=LANDMARK)
    jax.tree.map(np.testing.assert_array_equal, one["L_const"], three["L_const"])
    assert float(three["L_dec"][1].sum()) > float(one["L_dec"][1].sum())
    assert name in MOTION
