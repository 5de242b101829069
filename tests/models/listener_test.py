"""The whole listener: shapes, frame 0, padding, ablations, causality, precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_helpers import COEFF, TINY, batch, perturb_padding, random_clip, random_variables

from lhg_jax.features import mel_steps
from lhg_jax.models import Listener, ListenerConfig
from lhg_jax.models.listener import first_seen
from lhg_jax.models.motion_scale import with_motion_statistics

LENGTHS = [1, 2, 7, 10]  # in frames, padded to the last


def random_first(rows: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((rows, COEFF), np.float32)


def random_listener(config: ListenerConfig):
    model = Listener(config)
    return model, random_variables(model, batch([random_clip(2)], 2), random_first(1), train=False)


# Most of the time of these tests is compilation: functions are shared.
@functools.partial(jax.jit, static_argnames=("model", "train"))
def run(model, variables, features, first, train=False):
    return model.apply(variables, features, first, train=train, mutable=["batch_stats"])


def sum_of_squares(output, valid_BT) -> jax.Array:
    """A loss that looks at everything a real one may look at: valid frames of every output."""
    arrays = (output.motion, output.text, *output.levels)
    return sum(jnp.sum(jnp.where(valid_BT[..., None], jnp.sin(x), 0.0)) for x in arrays)


@functools.partial(jax.jit, static_argnames=("model", "train"))
def value_and_gradient(model, variables, features, first, train):
    def loss(params):
        output, updated = model.apply(
            {**variables, "params": params}, features, first, train=train, mutable=["batch_stats"]
        )
        return sum_of_squares(output, features.in_clip), (output, updated)

    return jax.value_and_grad(loss, has_aux=True)(variables["params"])


def mixed_batch():
    """Clips of all LENGTHS in one batch and their first frames: the shape that most tests share."""
    return batch([random_clip(n) for n in LENGTHS], LENGTHS[-1]), random_first(len(LENGTHS))


def assert_trees_close(a, b, tolerance: float):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance, rtol=tolerance), a, b)


@pytest.fixture(scope="module")
def tiny():
    return random_listener(TINY)


def test_output_shapes_and_first_frame(tiny):
    features, first = mixed_batch()
    output, _ = run(*tiny, features, first)
    assert output.motion.shape == (4, 10, COEFF)
    assert output.text.shape == (4, 10, TINY.level_size)
    assert [level.shape for level in output.levels] == [(4, 10, TINY.level_size)] * 3
    np.testing.assert_array_equal(output.motion[:, 0], first)
    np.testing.assert_array_equal(output.anchors, (features.word_index > 0) & features.in_clip)
    assert not np.any(output.motion[1, 2:])
    assert all(x.dtype == jnp.float32 for x in (output.motion, output.text, *output.levels))


@pytest.mark.parametrize("train", [pytest.param(False, marks=pytest.mark.slow), True])
def test_padding_changes_no_value_and_no_gradient(tiny, train):
    features, first = mixed_batch()
    other = perturb_padding(features, LENGTHS)
    assert not np.array_equal(features.log_mel, other.log_mel)
    (value, (output, stats)), gradient = value_and_gradient(*tiny, features, first, train)
    (value_2, (output_2, stats_2)), gradient_2 = value_and_gradient(*tiny, other, first, train)
    valid_BT1 = features.in_clip[..., None]
    np.testing.assert_array_equal(output.motion, output_2.motion)
    for a, b in zip((output.text, *output.levels), (output_2.text, *output_2.levels), strict=True):
        np.testing.assert_array_equal(np.where(valid_BT1, a, 0), np.where(valid_BT1, b, 0))
    assert value == value_2
    jax.tree.map(np.testing.assert_array_equal, (gradient, stats), (gradient_2, stats_2))
    assert all(np.any(g) for g in jax.tree.leaves(gradient["audio_encoder"]["conv1"]))


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_padded_clip_equals_the_clip_alone(tiny, frames):
    """Values, gradients and running statistics, with the batch's own statistics (one clip)."""
    clip, first = random_clip(frames), random_first(1)
    (_, (alone, stats)), gradient = value_and_gradient(*tiny, batch([clip], frames), first, train=True)
    padded_batch = batch([clip], 14)
    (_, (padded, stats_2)), gradient_2 = value_and_gradient(*tiny, padded_batch, first, train=True)
    cropped = jax.tree.map(lambda x: x[:, :frames], padded)
    assert_trees_close(alone, cropped, 2e-5)
    assert_trees_close(stats, stats_2, 2e-5)
    scale = max(np.abs(g).max() for g in jax.tree.leaves(gradient))
    assert_trees_close(*(jax.tree.map(lambda g: g / scale, t) for t in (gradient, gradient_2)), 2e-5)


@pytest.mark.parametrize("row", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_batch_neighbours_do_not_matter_in_evaluation(tiny, row):
    n, (features, first) = LENGTHS[row], mixed_batch()
    together, _ = run(*tiny, features, first)
    alone, _ = run(*tiny, batch([random_clip(n)], n), first[row : row + 1])
    np.testing.assert_allclose(together.motion[row, :n], alone.motion[0], atol=2e-5)


@pytest.mark.slow
def test_empty_rows_change_no_statistics(tiny):
    features, first = mixed_batch()
    empty = jax.tree.map(np.copy, features)
    empty.in_clip[1] = False
    output, stats = run(*tiny, empty, first, train=True)
    _, expected = run(*tiny, jax.tree.map(lambda x: x[[0, 2, 3]], features), first[[0, 2, 3]], train=True)
    assert_trees_close(stats, expected, 1e-6)
    assert np.all(np.isfinite(output.motion))


@pytest.mark.parametrize("gap", [slice(5, 6), slice(0, 3)], ids=["inside", "at the start"])
def test_motion_of_a_speaker_who_is_not_seen_is_not_looked_at(tiny, gap):
    """Neither there nor as what the speaker's change is counted from; sound and words still count."""
    features, first = mixed_batch()
    features.speaker_seen[3, gap] = False
    moved, louder = jax.tree.map(np.copy, features), jax.tree.map(np.copy, features)
    moved.speaker_motion[3, gap] = 50
    louder.mfcc[3, gap] += 50
    one, two, three = (run(*tiny, x, first)[0].motion for x in (features, moved, louder))
    np.testing.assert_array_equal(one, two)
    assert np.any(one[3, 6:]) and not np.allclose(one[3], three[3])


def test_change_is_counted_from_the_first_frame_in_which_the_speaker_is_seen():
    motion_BTC = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32))
    seen_BT = jnp.asarray([[True] * 6, [False, False, True, False, True, True], [False] * 6])
    found_B1C = first_seen(motion_BTC, seen_BT)
    np.testing.assert_array_equal(found_B1C[:, 0], motion_BTC[jnp.arange(3), jnp.asarray([0, 2, 0])])


def test_absent_speaker_motion_is_replaced_by_a_learned_vector(tiny):
    seen, first = mixed_batch()
    absent = dataclasses.replace(seen, speaker_seen=np.zeros_like(seen.speaker_seen))
    other = dataclasses.replace(absent, speaker_motion=seen.speaker_motion + 9)
    outputs = [run(*tiny, x, first)[0].motion for x in (seen, absent, other)]
    assert not np.allclose(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[1], outputs[2])
    _, gradient = value_and_gradient(*tiny, absent, first, train=True)
    assert np.any(gradient["cross_modal_fusion"]["absent"])


def test_motion_statistics_are_normalisation_constants(tiny):
    """Rescaling the coefficients and their statistics together rescales the motion."""
    model, variables = tiny
    features, first = mixed_batch()
    mean, std = np.linspace(-1, 1, COEFF, dtype=np.float32), np.linspace(0.1, 2, COEFF, dtype=np.float32)
    plain = with_motion_statistics(variables, np.zeros(COEFF, np.float32), np.ones(COEFF, np.float32))
    scaled = with_motion_statistics(variables, mean, std)
    moved = dataclasses.replace(features, speaker_motion=features.speaker_motion * std + mean)
    expected = np.asarray(run(model, plain, features, first)[0].motion) * std + mean
    actual = run(model, scaled, moved, first * std + mean)[0].motion
    np.testing.assert_allclose(actual, np.where(features.in_clip[..., None], expected, 0), atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"levels": ("high",), "use_text": False}, {"use_mfcc": False, "residual": False}],
    ids=["audio only", "no mfcc"],
)
def test_ablations_drop_their_input(change):
    model, variables = random_listener(dataclasses.replace(TINY, **change))
    features, first = mixed_batch()
    output, _ = run(model, variables, features, first)
    assert np.any(output.motion[:, 1:]) and np.all(np.isfinite(output.motion))
    if "use_text" in change:
        assert not np.any(output.anchors) and not np.any(output.text)
        deaf = dataclasses.replace(features, word_table=features.word_table + 1)
    else:
        deaf = dataclasses.replace(features, mfcc=features.mfcc + 1)
    np.testing.assert_array_equal(output.motion, run(model, variables, deaf, first)[0].motion)


def test_causal_listener_looks_ahead_no_further_than_it_says():
    config = dataclasses.replace(TINY, bidirectional=False, look_ahead=3)
    model, variables = random_listener(config)
    frames, frame, first = 18, 10, random_first(1)
    variables = jax.tree.map(jnp.asarray, variables)
    features = jax.tree.map(jnp.asarray, batch([random_clip(frames)], frames))
    reach = frame - 1 + config.look_ahead  # the decoder speaks of `frame` at step frame - 1

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def gradients_of_frame(log_mel, mfcc, motion):
        changed = dataclasses.replace(features, log_mel=log_mel, mfcc=mfcc, speaker_motion=motion)
        return jnp.sum(model.apply(variables, changed, first, train=False).motion[0, frame])

    gradients = gradients_of_frame(features.log_mel, features.mfcc, features.speaker_motion)
    last = [int(np.flatnonzero(np.any(np.asarray(g[0]), axis=-1))[-1]) for g in gradients]
    assert last == [2 * reach + 4, reach, reach]
    assert 2 * (frame + config.look_ahead + 1) >= last[0], "the documented bound, in mel steps"


def test_bfloat16_follows_float32(tiny):
    model, variables = tiny
    half = Listener(dataclasses.replace(TINY, dtype="bfloat16"))
    features, first = mixed_batch()
    expected, _ = run(model, variables, features, first)
    output, updated = run(half, variables, features, first, train=False)
    assert output.motion.dtype == jnp.float32
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(updated))
    np.testing.assert_allclose(output.motion, expected.motion, atol=0.1 * np.abs(expected.motion).max())


def test_wrong_arguments_are_refused(tiny):
    features = batch([random_clip(6)], 6)
    short = dataclasses.replace(features, log_mel=features.log_mel[:, :-1])
    with pytest.raises(ValueError, match=f"6 frames need {mel_steps(6)} log-mel steps, not"):
        run(*tiny, short, random_first(1))
    with pytest.raises(ValueError, match="not among"):
        ListenerConfig(levels=("loud",))
    with pytest.raises(ValueError, match="hears nothing"):
        ListenerConfig(levels=(), use_text=False, use_mfcc=False)
    with pytest.raises(ValueError, match="float16"):
        ListenerConfig(dtype="float16")
