"""Contrastive losses: recordings, formulas written out, masks, chunks, devices."""

import contextlib
import functools
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lhg_jax.losses import CONTRASTIVE, ContrastiveInputs, blockwise, contrastive
from lhg_jax.losses.base import masked_loss

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
    """LossSums of features {text, low, mid, high} in which every frame has a word."""
    ones = jnp.ones(features["text"].shape[:2], bool)
    levels = (features["low"], features["mid"], features["high"])
    words = ones.astype(jnp.int32)
    inputs = ContrastiveInputs(features["text"], levels, ones, ones, words)
    return loss(inputs, temperature=temperature, chunk=chunk)


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
        assert_close(loss.sums, data["out_per_anchor"], tolerance, "per anchor")


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


def test_terms_that_cancel_keep_their_precision():
    rng = np.random.default_rng(3)
    small, large = rng.uniform(0, 1, (2, 4096)), rng.uniform(50, 100, (2, 4096))
    terms = {"align": jnp.asarray(-large, jnp.float32), "spread": jnp.asarray(large + small, jnp.float32)}
    loss = masked_loss(terms, jnp.ones((2, 4096), bool))
    exact = sum(np.asarray(term, np.float64) for term in terms.values()).sum(1)
    np.testing.assert_allclose(loss.sums, exact, rtol=1e-6)


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
    """(LossSums, gradients of its mean) of a loss by name."""

    def mean(features):
        levels = (features["low"], features["mid"], features["high"])
        anchors = valid & (words > 0)
        inputs = ContrastiveInputs(features["text"], levels, anchors, valid, words)
        loss = CONTRASTIVE[name](inputs, temperature=temperature, chunk=chunk)
        return loss.mean(), loss

    grads, loss = jax.grad(mean, has_aux=True)(features)
    return loss, grads


def cos(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def log_sum(p, a, rows):
    """log of the sum over `rows` (vectors) of exp(cos / tau)."""
    return np.log(sum(np.exp(cos(a, row) / p.tau) for row in rows))


def eq2(p, a, stamps=None):
    stamps = p.stamps if stamps is None else stamps
    rows = [level[s] for s in stamps for level in (p.low, p.mid, p.high)]
    return log_sum(p, p.text[a], rows) - cos(p.text[a], p.high[a]) / p.tau


def temporal(p, a):
    return eq2(p, a, [s for s in p.stamps if not (s[0] == a[0] and 0 < abs(s[1] - a[1]) <= 15)])


def infonce(p, a):
    forward = log_sum(p, p.text[a], [p.high[s] for s in p.anchors])
    backward = log_sum(p, p.high[a], [p.text[s] for s in p.anchors])
    return (forward + backward) / 2 - cos(p.text[a], p.high[a]) / p.tau


def siglip(p, a):
    logits = {s: cos(p.text[a], p.high[s]) / p.tau - 10 for s in p.stamps}
    return sum(np.log1p(np.exp(-logit if s == a else logit)) for s, logit in logits.items())


def ha2g(p, a):
    def cross_entropy(level):
        logits = {s: 1 / np.sqrt(2 - 2 * cos(p.text[a], level[s])) for s in p.stamps}
        return np.log(sum(np.exp(v) for v in logits.values())) - logits[a]

    return 0.2 * cross_entropy(p.high) - 0.005 * cross_entropy(p.low)


# Loss of one anchor `a` (clip, frame), by loops over pairs. `p` holds features (text, low, mid, high), tau,
# and what can be compared: `stamps`, all frames of all clips, and `anchors`, those in which a word is spoken.
FORMULAS = {
    "paper": eq2,
    "temporal": temporal,
    "word": eq2,
    "infonce": infonce,
    "siglip": siglip,
    "ha2g": ha2g,
}


def written_out(name, features, valid, words, temperature=0.1):
    """Losses of all anchors."""
    assert name in FORMULAS, f"no formula for {name!r}: write it out in FORMULAS"
    p = SimpleNamespace(**{k: np.asarray(v, np.float64) for k, v in features.items()}, tau=temperature)
    p.stamps = [(b, t) for b, t in np.ndindex(valid.shape) if valid[b, t]]
    p.anchors = [(b, t) for b, t in p.stamps if words[b, t] or name == "ha2g"]
    if name == "word":
        runs = {}
        for b, t in p.anchors:
            runs.setdefault((b, int(words[b, t])), []).append(t)
        for key in features:
            setattr(p, key, {(b, w): getattr(p, key)[b, ts].mean(0) for (b, w), ts in runs.items()})
        p.stamps = p.anchors = list(runs)
    return {a: FORMULAS[name](p, a) for a in p.anchors}


@pytest.mark.parametrize("name", NAMES)
def test_equals_formula_written_out(name):
    features, valid, words = batch()
    loss, _ = evaluate(name, features, valid, words)
    expected = written_out(name, features, np.asarray(valid), np.asarray(words))
    for clip in range(len(valid)):
        own = [value for (b, _), value in expected.items() if b == clip]
        assert loss.counts[clip] == len(own)
        np.testing.assert_allclose(loss.sums[clip], sum(own), rtol=1e-5)
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
    np.testing.assert_allclose(more.sums, np.pad(loss.sums, (0, 1)), rtol=1e-5)
    for key, grad in more_grads.items():
        np.testing.assert_allclose(grad[:3, :11], grads[key], rtol=1e-4, atol=1e-6)
        assert not np.asarray(grad[3:]).any() and not np.asarray(grad[:, 11:]).any()
        assert not np.where(valid[..., None], 0, grad[:3, :11]).any()


@pytest.mark.parametrize("name", SOME)
def test_chunks_do_not_matter(name):
    whole, grads = evaluate(name, *batch(), chunk=1000)
    loss, others = evaluate(name, *batch())  # chunks of 7 rows, the last padded
    np.testing.assert_allclose(loss.sums, whole.sums, rtol=1e-5)
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
    assert len(eight[0].sums.sharding.device_set) == 8
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
    assert np.isfinite(loss.sums).all() and all(np.isfinite(grad).all() for grad in grads.values())


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_features_are_compared_to_their_own_precision(name):
    """Unit vectors are rounded once more, to 2^-9 of each number; sums and values are float32."""
    features, valid, words = batch()
    rough = {k: v.astype(jnp.bfloat16) for k, v in features.items()}
    loss, grads = evaluate(name, rough, valid, words)
    exact, exact_grads = evaluate(name, {k: v.astype(jnp.float32) for k, v in rough.items()}, valid, words)
    np.testing.assert_allclose(loss.sums, exact.sums, rtol=1e-2, atol=1e-2)
    assert loss.sums.dtype == jnp.float32 and grads["text"].dtype == jnp.bfloat16
    for key, grad in grads.items():
        largest = np.abs(exact_grads[key]).max()
        np.testing.assert_allclose(grad.astype(np.float32), exact_grads[key], atol=0.03 * largest)


@pytest.mark.parametrize(
    "reduce",
    [
        lambda rows, columns, valid: blockwise.blockwise_logsumexp(rows, columns, valid, 16),
        lambda rows, columns, valid: blockwise.blockwise_sum_softplus(rows, columns, valid, 16, -10.0),
    ],
)
def test_whole_matrix_is_never_made(reduce):
    rows, columns = jnp.ones((128, 4)), jnp.ones((384, 4))
    grad = jax.grad(lambda r, c: reduce(r, c, jnp.ones(384, bool)).sum(), (0, 1))
    text = str(jax.make_jaxpr(grad)(rows, columns))
    assert "f32[16,384]" in text and "128,384]" not in text


def test_none_counts_nothing():
    loss, grads = evaluate("none", *batch())
    assert loss.mean() == 0 and not np.asarray(loss.counts).any()
    assert not any(np.asarray(grad).any() for grad in grads.values())


def test_the_new_loss_of_contributing_passes_as_written(monkeypatch):
    """Its two blocks: the function, and the formula that the tests compare it with."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    loss, formula = re.findall(r"```python\n(.*?)```", text, re.S)
    scope = dict(vars(contrastive))
    exec(loss, scope)
    monkeypatch.setitem(CONTRASTIVE, "high_only", scope["high_only"])
    scope = dict(globals())
    exec(formula, scope)
    monkeypatch.setitem(FORMULAS, "high_only", scope["high_only"])
    test_equals_formula_written_out("high_only")


def test_a_loss_without_a_formula_is_told_where_to_write_it():
    with pytest.raises(AssertionError, match="no formula for 'mine': write it out in FORMULAS"):
        written_out("mine", {}, None, None)
