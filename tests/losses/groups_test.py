"""Negatives from groups of clips: as if each group were the batch, wherever its clips lie."""

import functools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_cli import ROOT

from lhg_jax.losses import CONTRASTIVE, ContrastiveInputs
from lhg_jax.losses.groups import in_groups
from lhg_jax.training.sharding import batch_sharding, group_sharding, make_mesh
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(ROOT / "tools"))
from xla_program import COLLECTIVES, parse

NAMES = ["paper", "word", pytest.param("temporal", marks=pytest.mark.slow)]


def random_clips(clips=8, frames=5, size=4):
    rng = np.random.default_rng(clips)
    names = ("text", "low", "mid", "high")
    features = {name: rng.normal(size=(clips, frames, size)).astype(np.float32) for name in names}
    in_clip = np.arange(frames)[None] < rng.integers(2, frames + 1, clips)[:, None]
    words = rng.integers(0, 4, (clips, frames)).astype(np.int32)
    return features, in_clip, words


def evaluate(loss, features, in_clip, words):
    """LossSums, and gradients of their sums, which do not depend on other groups."""

    def total(features):
        levels = (features["low"], features["mid"], features["high"])
        inputs = ContrastiveInputs(features["text"], levels, in_clip & (words > 0), in_clip, words)
        sums = loss(inputs, temperature=0.1, chunk=3)
        return sums.sums.sum(), sums

    grads, sums = jax.grad(total, has_aux=True)(features)
    return sums, grads


@pytest.mark.parametrize("name", NAMES)
def test_a_group_sees_its_own_clips_alone(name):
    clips = random_clips()
    grouped = in_groups(CONTRASTIVE[name], 4, lambda x: x)
    together = jax.jit(functools.partial(evaluate, grouped))(*clips)
    alone = jax.jit(functools.partial(evaluate, CONTRASTIVE[name]))
    parts = [alone(*jax.tree.map(lambda x, i=i: x[2 * i : 2 * i + 2], clips)) for i in range(4)]
    joined = jax.tree.map(lambda *own: np.concatenate(own), *parts)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), together, joined)
    whole, _ = alone(*clips)
    assert np.abs(whole.sums - together[0].sums).max() > 0.1


def test_one_group_is_the_whole_batch():
    clips = random_clips()
    grouped, whole = (
        jax.jit(functools.partial(evaluate, loss))(*clips)
        for loss in (in_groups(CONTRASTIVE["paper"], 1, lambda x: x), CONTRASTIVE["paper"])
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), grouped, whole)


@pytest.mark.parametrize("groups", [2, 4, 16])
@pytest.mark.parametrize("name", NAMES)
def test_eight_devices_equal_one(name, groups):
    """In groups of several devices, and several groups on one; no features are sent from group to group."""
    clips = random_clips(16)
    one = jax.jit(functools.partial(evaluate, in_groups(CONTRASTIVE[name], groups, lambda x: x)))(*clips)
    mesh = make_mesh(1, groups=groups)
    place = functools.partial(jax.lax.with_sharding_constraint, shardings=group_sharding(mesh, groups))
    loss = in_groups(CONTRASTIVE[name], groups, place)
    spread = jax.device_put(clips, batch_sharding(mesh))
    step = jax.jit(functools.partial(evaluate, loss), out_shardings=batch_sharding(mesh))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), step(*spread), one)
    sizes = [
        math.prod(array.shape)
        for _, instruction, _ in parse(step.lower(*spread).compile().as_text()).executed()
        if instruction.opcode in COLLECTIVES
        for array in instruction.arrays
        if array.dtype == "f32"
    ]
    text_features = clips[0]["text"].size
    assert bool(sizes) == (groups < 8)
    assert all(size < 1.5 * text_features / groups for size in sizes), sizes


def test_groups_need_whole_devices():
    assert dict(make_mesh(2, groups=4).shape) == {"group": 4, "data": 1, "fsdp": 2}
    assert dict(make_mesh(2, groups=16).shape) == {"group": 1, "data": 4, "fsdp": 2}
    with pytest.raises(UserError, match="8 devices do not divide into 3 groups"):
        make_mesh(1, groups=3)
    with pytest.raises(UserError, match=r"8 devices do not divide into 4 groups with train\.fsdp=4"):
        make_mesh(4, groups=4)


def spoken(words, rows):
    """The word loss of clips with `words` in their frames, on random features."""
    rng = np.random.default_rng(2)
    in_clip = jnp.ones(words.shape, bool)
    features = jnp.asarray(rng.normal(size=(4, *words.shape, 6)), jnp.float32)
    inputs = ContrastiveInputs(features[0], tuple(features[1:]), in_clip, in_clip, jnp.asarray(words))
    return CONTRASTIVE["word"](inputs, temperature=0.1, chunk=4, words=rows)


def test_rows_for_words_are_exact_while_they_suffice():
    words = np.array([[1, 1, 2, 0, 3, 3], [0, 5, 5, 5, 0, 6]], np.int32)
    every, three = spoken(words, 0), spoken(words, 3)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), three, every)
    assert np.asarray(three.logged["words_left_out"].sums).tolist() == [0, 0]


def test_words_beyond_the_rows_are_left_out_and_counted():
    words = np.array([[1, 1, 2, 0, 3, 3], [0, 5, 5, 5, 0, 6]], np.int32)
    two, fewer = spoken(words, 2), spoken(np.where(words == 3, 0, words), 0)
    np.testing.assert_allclose(two.sums, fewer.sums, rtol=1e-6)
    assert np.asarray(two.counts).tolist() == [2, 2]
    assert np.asarray(two.logged["words_left_out"].sums).tolist() == [1, 0]


def test_rows_set_the_size_of_the_similarities():
    words = np.ones((2, 6), np.int32)
    text = str(jax.make_jaxpr(lambda: spoken(words, 2).sums)())
    assert "f32[4,12]" in text and "36]" not in text  # 2 clips x 2 words against 3 levels of them


@pytest.mark.parametrize("name", ["paper", "temporal", "word"])
def test_logged_candidates_make_batches_comparable(name):
    features, in_clip, words = random_clips()
    zeros = {**features, "text": np.zeros_like(features["text"])}  # a cosine of 0 with everything
    sums, _ = jax.jit(functools.partial(evaluate, CONTRASTIVE[name]))(zeros, in_clip, words)
    logged = {name: float(value.mean()) for name, value in sums.logged.items()}
    np.testing.assert_allclose(logged["spread_above_chance"], 0, atol=1e-5)
    spoken_words, stamps = int(sums.counts.sum()), int(in_clip.sum())
    if name == "paper":
        assert logged["candidates"] == 3 * stamps
    if name == "word":
        assert logged["candidates"] == 3 * spoken_words and logged["words_left_out"] == 0
    if name == "temporal":  # of the own clip, which is shorter than the radius, the own time stamp alone
        anchors_B, own_B = (in_clip & (words > 0)).sum(1), in_clip.sum() - in_clip.sum(1) + 1
        own = anchors_B * own_B
        np.testing.assert_allclose(logged["candidates"], 3 * np.sum(own) / spoken_words, rtol=1e-6)
