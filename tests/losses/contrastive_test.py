"""Contrastive losses: recordings, formulas written out, masks, chunks, devices."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lhg_jax.losses import CONTRASTIVE, blockwise, contrastive

SIZES = ["n12", "n700", pytest.param("n90", marks=pytest.mark.slow)]
NAMES = sorted(set(CONTRASTIVE) - {"none"})
# Where the shared core is tested, two losses stand for all in the quick run.
SOME = [name if name in ("paper", "word") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


def assert_close(actual, expected, tolerance, name=""):
    expected = np.asarray(expected)
    error = np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{name}: {error:.2e} > {tolerance:.2e}"


def recorded(shared, name, dtype):
    data = dict(np.load(shared / "golden" / f"ha2g_contrastive.{name}.npz"))
    features = {
        k: jnp.asarray(data[f"in_{k}"], dtype)[None]
        for k in ("text", "low", "mid", "high")
        if f"in_{k}" in data
    }
    features.setdefault("mid", jnp.zeros_like(features["low"]))
    return data, features


def spoken(loss, features, temperature=1.0, chunk=37):
    """LossValue of features {text, low, mid, high} in which every frame has a word."""
    ones = jnp.ones(features["text"].shape[:2], bool)
    levels = (features["low"], features["mid"], features["high"])
    words = ones.astype(jnp.int32)
    return loss(features["text"], levels, ones, ones, words, temperature=temperature, chunk=chunk)


def objective(loss, pick, temperature=1.0):
    """(value, gradient) of what `pick` takes from `spoken`."""
    return jax.jit(jax.value_and_grad(lambda features: pick(spoken(loss, features, temperature))))


# float64 is limited by the recording (float32 for n700), float32 by cosines near 1 over tau.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("float64", 1e-7)])
@pytest.mark.parametrize("tau", ["0.07", pytest.param("0.1", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", SIZES)
def test_paper_equals_recording(shared, size, tau, dtype, tolerance):
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        data, features = recorded(shared, f"paper_{size}_tau{tau}", dtype)
        value, grads = objective(contrastive.paper, lambda loss: loss.mean(), float(tau))(features)
        assert_close(value, data["out_loss"], tolerance, "loss")
        for name, grad in grads.items():
            assert_close(grad[0], data[f"out_grad_{name}"], tolerance, name)
        one_stamp_a_clip = {name: x[0][:, None] for name, x in features.items()}
        loss = jax.jit(functools.partial(spoken, contrastive.paper, temperature=float(tau)))(one_stamp_a_clip)
        assert_close(loss.values, data["out_per_anchor"], tolerance, "per anchor")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("float64", 1e-7)])
@pytest.mark.parametrize("size", SIZES)
def test_ha2g_equals_recording(shared, size, dtype, tolerance):
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        data, features = recorded(shared, f"code_{size}", dtype)
        for term, weight, level, value_name in [
            ("pull", 0.2, "high", "out_loss_text_high"),
            ("push", 0.005, "low", "out_loss_text_low_negated"),
        ]:
            run = objective(contrastive.ha2g, lambda loss, term=term: loss.terms[term].mean())
            value, grads = run(features)
            assert_close(value / weight, data[value_name], tolerance, term)
            assert_close(grads["text"][0] / weight, data[f"out_grad_text_of_{level}"], tolerance, term)
            assert_close(grads[level][0] / weight, data[f"out_grad_{level}"], tolerance, term)


def batch(seed=0, clips=3, frames=11, size=6):
    """Random features with words of several frames, silence between them and padding at the end."""
    rng = np.random.default_rng(seed)
    features = {
        k: jnp.asarray(rng.normal(size=(clips, frames, size)), jnp.float32)
        for k in ("text", "low", "mid", "high")
    }
    valid = jnp.arange(frames)[None] < jnp.array([frames, 7, 5])[:clips, None]
    words = jnp.asarray(
        [
            [0, 4, 4, 0, 5, 5, 5, 9, 9, 0, 2],
            [1, 1, 1, 1, 0, 0, 2, 3, 3, 3, 3],
            [0, 7, 7, 7, 7, 8, 8, 8, 0, 0, 0],
        ]
    )
    return features, valid, words[:clips].astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("name", "chunk", "temperature"))
def evaluate(name, features, valid, words, chunk=8, temperature=0.1):
    """(LossValue, gradients of its mean) of a loss by name."""

    def mean(features):
        levels = (features["low"], features["mid"], features["high"])
        anchors = valid & (words > 0)
        loss = CONTRASTIVE[name](
            features["text"], levels, anchors, valid, words, temperature=temperature, chunk=chunk
        )
        return loss.mean(), loss

    grads, loss = jax.grad(mean, has_aux=True)(features)
    return loss, grads


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def written_out(name, features, valid, words, temperature=0.1):
    """Losses of all anchors by loops over pairs."""
    text, low, mid, high = (np.asarray(features[k], np.float64) for k in ("text", "low", "mid", "high"))
    clips, frames = valid.shape
    stamps = [(b, t) for b in range(clips) for t in range(frames) if valid[b, t]]
    if name == "word":
        runs = {}
        for b, t in stamps:
            if words[b, t]:
                runs.setdefault((b, int(words[b, t])), []).append(t)
        text, low, mid, high = (
            {(b, w): x[b, ts].mean(0) for (b, w), ts in runs.items()} for x in (text, low, mid, high)
        )
        stamps = anchors = list(runs)
    else:
        anchors = [(b, t) for b, t in stamps if words[b, t] or name == "ha2g"]

    def cos(a, b):
        return unit(a) @ unit(b)

    losses = {}
    for a in anchors:
        if name in ("paper", "word", "temporal"):
            near = [s for s in stamps if s[0] == a[0] and 0 < abs(s[1] - a[1]) <= 15]
            kept = [s for s in stamps if name != "temporal" or s not in near]
            total = sum(
                np.exp(cos(text[a], level[s]) / temperature) for s in kept for level in (low, mid, high)
            )
            losses[a] = np.log(total) - cos(text[a], high[a]) / temperature
        elif name == "infonce":
            forward = sum(np.exp(cos(text[a], high[s]) / temperature) for s in anchors)
            backward = sum(np.exp(cos(text[s], high[a]) / temperature) for s in anchors)
            losses[a] = (np.log(forward) + np.log(backward)) / 2 - cos(text[a], high[a]) / temperature
        elif name == "siglip":
            signs = {s: 1 if s == a else -1 for s in stamps}
            logits = {s: cos(text[a], high[s]) / temperature - 10 for s in stamps}
            losses[a] = sum(np.log1p(np.exp(-signs[s] * logits[s])) for s in stamps)
        elif name == "ha2g":
            losses[a] = 0
            for weight, level in [(0.2, high), (-0.005, low)]:
                logits = {s: 1 / np.linalg.norm(unit(text[a]) - unit(level[s])) for s in stamps}
                losses[a] += weight * (np.log(sum(np.exp(v) for v in logits.values())) - logits[a])
    return losses


@pytest.mark.parametrize("name", NAMES)
def test_equals_formula_written_out(name):
    features, valid, words = batch()
    loss, _ = evaluate(name, features, valid, words)
    expected = written_out(name, features, np.asarray(valid), np.asarray(words))
    for clip in range(len(valid)):
        own = [value for (b, _), value in expected.items() if b == clip]
        assert loss.count[clip] == len(own)
        np.testing.assert_allclose(loss.values[clip], sum(own), rtol=1e-5)
    np.testing.assert_allclose(loss.mean(), np.mean(list(expected.values())), rtol=1e-5)
    np.testing.assert_allclose(sum(loss.term_means().values()), loss.mean(), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_finite_difference(name):
    features, valid, words = batch()
    _, grads = evaluate(name, features, valid, words)
    rng, step = np.random.default_rng(1), 1e-5
    for key in features:
        direction = rng.normal(size=features[key].shape)
        sides = []
        for sign in (1, -1):
            moved = {k: np.asarray(v, np.float64) for k, v in features.items()}
            moved[key] = moved[key] + sign * step * direction
            sides.append(
                np.mean(list(written_out(name, moved, np.asarray(valid), np.asarray(words)).values()))
            )
        np.testing.assert_allclose(
            np.sum(grads[key] * direction), (sides[0] - sides[1]) / (2 * step), rtol=2e-4, atol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_padding_never_matters(name):
    features, valid, words = batch()
    loss, grads = evaluate(name, features, valid, words)
    padded = {k: jnp.where(valid[..., None], v, jnp.nan) for k, v in features.items()}
    padded = {k: jnp.pad(v, ((0, 1), (0, 4), (0, 0)), constant_values=jnp.nan) for k, v in padded.items()}
    more, more_grads = evaluate(
        name, padded, jnp.pad(valid, ((0, 1), (0, 4))), jnp.pad(words, ((0, 1), (0, 4)))
    )
    np.testing.assert_allclose(more.values, np.pad(loss.values, (0, 1)), rtol=1e-5)
    for key, grad in more_grads.items():
        np.testing.assert_allclose(grad[:3, :11], grads[key], rtol=1e-4, atol=1e-6)
        assert not np.asarray(grad[3:]).any() and not np.asarray(grad[:, 11:]).any()
        assert not np.where(valid[..., None], 0, grad[:3, :11]).any()


@pytest.mark.parametrize("name", SOME)
def test_chunks_do_not_matter(name):
    whole, grads = evaluate(name, *batch(), chunk=1000)
    loss, others = evaluate(name, *batch())  # chunks of 7 rows, the last padded
    np.testing.assert_allclose(loss.values, whole.values, rtol=1e-5)
    for key in grads:
        np.testing.assert_allclose(others[key], grads[key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", SOME)
def test_eight_devices_equal_one(name):
    rng = np.random.default_rng(3)
    features = {k: rng.normal(size=(8, 5, 4)).astype(np.float32) for k in ("text", "low", "mid", "high")}
    valid = np.arange(5)[None] < rng.integers(1, 6, 8)[:, None]
    words = rng.integers(0, 4, (8, 5)).astype(np.int32)
    one = evaluate(name, *jax.tree.map(jnp.asarray, (features, valid, words)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put((features, valid, words), NamedSharding(mesh, PartitionSpec("data")))
    eight = evaluate(name, *spread)
    assert len(eight[0].values.sharding.device_set) == 8
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), eight, one)


@pytest.mark.parametrize("name", NAMES)
def test_no_anchor_gives_zero_and_no_nan(name):
    features, valid, words = batch()
    loss, grads = evaluate(name, features, jnp.zeros_like(valid), words)
    assert loss.mean() == 0
    assert not any(np.asarray(grad).any() for grad in grads.values())


@pytest.mark.parametrize("name", NAMES)
def test_duplicates_and_zero_vectors_keep_gradients_finite(name):
    features, valid, words = batch()
    features |= {"high": features["text"], "low": jnp.zeros_like(features["low"])}
    loss, grads = evaluate(name, features, valid, words)
    assert np.isfinite(loss.values).all() and all(np.isfinite(grad).all() for grad in grads.values())


def test_bfloat16_features_are_computed_in_float32():
    features, valid, words = batch()
    rough = {k: v.astype(jnp.bfloat16) for k, v in features.items()}
    loss, grads = evaluate("paper", rough, valid, words)
    exact, _ = evaluate("paper", {k: v.astype(jnp.float32) for k, v in rough.items()}, valid, words)
    np.testing.assert_array_equal(loss.values, exact.values)
    assert loss.values.dtype == jnp.float32 and grads["text"].dtype == jnp.bfloat16


def test_whole_matrix_is_never_made():
    rule = blockwise.Rule(blockwise.LOG_SUM_EXP, lambda x: x, None, 16)
    rows, columns = jnp.ones((128, 4)), jnp.ones((384, 4))
    grad = jax.grad(lambda r, c: blockwise.reduce_rows(rule, r, c, jnp.ones(384, bool)).sum(), (0, 1))
    text = str(jax.make_jaxpr(grad)(rows, columns))
    assert "f32[16,384]" in text and "128,384]" not in text


def test_none_counts_nothing():
    loss, grads = evaluate("none", *batch())
    assert loss.mean() == 0 and not np.asarray(loss.count).any()
    assert not any(np.asarray(grad).any() for grad in grads.values())
