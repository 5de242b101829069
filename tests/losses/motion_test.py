"""Motion losses: formulas in loops, the ViCo recording, masks and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.losses import MOTION, MotionInputs, motion
from lhg_jax.motion import DEEP3D_CROP, TDDFA, CoefficientSpace


@functools.partial(jax.jit, static_argnames=("name", "space"))
def evaluate(name, pred, target, valid, space=TDDFA):
    """(LossSums, gradient of its mean with respect to the prediction)."""

    def mean(pred):
        loss = MOTION[name](MotionInputs(pred, target, valid, space))
        return loss.mean(), loss

    grad, loss = jax.grad(mean, has_aux=True)(pred)
    return loss, grad


def batch(clips=3, frames=6, space=TDDFA, seed=0):
    """Two motions that share frame 0; the clips are 6, 4 and 1 frames long."""
    rng = np.random.default_rng(seed)
    pred, target = rng.normal(size=(2, clips, frames, space.size)).astype(np.float32)
    pred[:, 0] = target[:, 0]
    valid = np.arange(frames)[None] < np.array([6, 4, 1])[:clips, None]
    return jnp.asarray(pred), jnp.asarray(target), jnp.asarray(valid)


def change(x, t, order):
    """Backward difference of rows at frame t; zero where it would reach before frame 0."""
    if t < order:
        return np.zeros_like(x[0])
    return x[t] - x[t - 1] if order == 1 else x[t] - 2 * x[t - 1] + x[t - 2]


def frame_loss(name, pred, target, t, weights, pose=1.0):
    """Loss of one frame of one clip, for TDDFA: expression 0..9, pose 10..15."""
    if name == "huber":
        error = np.abs(pred[t] - target[t])
        return np.where(error < 0.1, error**2 / 2, 0.1 * (error - 0.05)).sum()
    value, power = 0.0, 2 if name == "squared" else 1
    for group, weight, share in [(slice(0, 10), weights[0], 1.0), (slice(10, 16), weights[1], pose)]:
        p, y = pred[:, group], target[:, group]
        change_error = np.linalg.norm(change(p, t, 1) - change(y, t, 1))
        value += share * (np.linalg.norm(p[t] - y[t]) ** power + weight * change_error**power)
        if name == "l2_accel":
            value += weights[2] * np.linalg.norm(change(p, t, 2) - change(y, t, 2))
    return value


@pytest.mark.parametrize(
    ("name", "kwargs", "weights"),
    [
        ("paper", {}, (1, 1)),
        ("paper", {"w1": 0.3, "w2": 2.0}, (0.3, 2.0)),
        ("squared", {"w1": 0.3, "w2": 2.0}, (0.3, 2.0)),
        ("squared", {"w1": 0.3, "w2": 2.0, "pose": 5.0}, (0.3, 2.0)),
        ("l2_accel", {"w1": 0.3, "w2": 2.0, "w_accel": 0.7}, (0.3, 2.0, 0.7)),
        ("huber", {}, None),
    ],
)
def test_equals_formula_written_out(name, kwargs, weights):
    pred, target, valid = batch()
    loss = jax.jit(lambda *arrays: MOTION[name](MotionInputs(*arrays, TDDFA), **kwargs))(pred, target, valid)
    pred, target = np.asarray(pred, np.float64), np.asarray(target, np.float64)
    for clip, length in enumerate([6, 4, 1]):
        share = kwargs.get("pose", 1.0)
        expected = [frame_loss(name, pred[clip], target[clip], t, weights, share) for t in range(1, length)]
        np.testing.assert_allclose(loss.sums[clip], sum(expected), rtol=1e-5)
        assert loss.counts[clip] == length - 1
    np.testing.assert_allclose(loss.mean(), loss.sums.sum() / 8, rtol=1e-6)
    np.testing.assert_allclose(sum(loss.term_means().values()), loss.mean(), rtol=1e-5)


def vico_recording(shared, name):
    """Recorded predictions, target and losses; the recorded space has the angle before the expression."""
    data = dict(np.load(shared / "golden" / f"vico_lstm.{name}.npz"))
    pred, target, lengths = data["out_pred"], data["in_target"], data["in_lengths"]
    reference = np.zeros_like(pred[:, :1])  # frame 0: row t of the recording is frame t + 1
    pred = np.concatenate([reference, pred[:, :-1]], axis=1)
    target = np.concatenate([reference, target], axis=1)
    valid = np.arange(pred.shape[1])[None] < lengths[:, None]
    angle, exp, trans, crop = (DEEP3D_CROP.parts[i] for i in (1, 0, 2, 3))
    space = CoefficientSpace("recorded", (angle, exp, trans, crop))
    return data, space, *map(jnp.asarray, (pred, target, valid))


@pytest.mark.parametrize("name", ["b3", "b2_short"])
def test_vico_equals_recording(shared, name):
    data, space, pred, target, valid = vico_recording(shared, name)
    loss, _ = evaluate("vico", pred, target, valid, space)
    terms = loss.term_means()
    for part in ("angle", "exp", "trans", "crop"):
        weight = motion.VICO_CHANGE_WEIGHT.get(part, 1.0)
        np.testing.assert_allclose(terms[part], data[f"out_loss_{part}"], rtol=1e-5)
        np.testing.assert_allclose(terms[f"{part}_spiky"] / weight, data[f"out_loss_{part}_spiky"], rtol=1e-5)
    np.testing.assert_allclose(loss.mean(), data["out_total_loss"], rtol=1e-5)


def test_vico_gradient_equals_finite_difference():
    pred, target, valid = batch()
    _, grad = evaluate("vico", pred, target, valid)
    direction, step = np.random.default_rng(1).normal(size=pred.shape).astype(np.float32), 1e-2
    up, down = (evaluate("vico", pred + sign * step * direction, target, valid)[0].mean() for sign in (1, -1))
    np.testing.assert_allclose(np.sum(grad * direction), (up - down) / (2 * step), rtol=1e-2)


@pytest.mark.parametrize("name", sorted(MOTION))
def test_padding_never_matters(name):
    pred, target, valid = batch()
    loss, grad = evaluate(name, pred, target, valid)
    other, other_grad = evaluate(
        name, *(jnp.where(valid[..., None], x, jnp.nan) for x in (pred, target)), valid
    )
    np.testing.assert_array_equal(other.sums, loss.sums)
    np.testing.assert_array_equal(other_grad, grad)
    assert not np.where(valid[..., None], 0, grad).any()
    assert np.abs(grad[0, 1:]).min() > 0


@pytest.mark.parametrize("name", sorted(MOTION))
def test_perfect_prediction_has_finite_gradient(name):
    _, target, valid = batch()
    loss, grad = evaluate(name, target, target, valid)
    assert np.isfinite(grad).all()
    if name != "vico":  # its epsilon makes a small loss of no error
        assert loss.mean() == 0 and not np.asarray(grad).any()


@pytest.mark.parametrize("name", ["paper", "l2_accel"])
def test_reference_takes_part_in_the_first_change_only(name):
    pred, target, valid = batch()
    loss, grad = evaluate(name, pred, target, valid)
    moved, _ = evaluate(name, pred.at[:, 0].add(1.0), target, valid)
    assert np.abs(grad[:2, 0]).min() > 0
    np.testing.assert_array_equal(moved.terms["pose"].sums, loss.terms["pose"].sums)
    assert moved.terms["pose_change"].sums[0] != loss.terms["pose_change"].sums[0]


@pytest.mark.parametrize("name", ["paper", "l2_accel"])
def test_changes_are_not_taken_across_a_gap(name):
    pred, target, _ = batch(clips=1)
    valid = jnp.array([[True, True, False, True, True, True]])
    _, grad = evaluate(name, pred, target, valid)
    alone, _ = evaluate(name, pred, target, valid)
    other, _ = evaluate(name, pred.at[0, 2].set(9.0), target, valid)
    np.testing.assert_array_equal(other.sums, alone.sums)
    assert alone.counts[0] == 4 and not np.asarray(grad[0, 2]).any()


def test_means_of_parts_of_a_batch_merge():
    pred, target, valid = batch()
    whole, _ = evaluate("paper", pred, target, valid)
    arrays = [[x[i : i + 1] for x in (pred, target, valid)] for i in range(3)]
    parts = [motion.paper(MotionInputs(*one, TDDFA)) for one in arrays]
    merged = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    np.testing.assert_allclose(merged.mean(), whole.mean(), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(MOTION))
def test_clips_that_fill_up_a_batch_count_nothing(name):
    pred, target, valid = batch()
    loss, _ = evaluate(name, pred, target, valid)
    filled = [jnp.concatenate([x, jnp.ones_like(x)]) for x in (pred, target)]
    more, grad = evaluate(name, *filled, jnp.pad(valid, ((0, 3), (0, 0))))
    np.testing.assert_allclose(more.mean(), loss.mean(), rtol=1e-6)
    assert not np.asarray(more.counts[3:]).any() and not np.asarray(grad[3:]).any()
