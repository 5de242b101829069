"""Log-sum-exp of bounded products: values and gradients are those of the plain formula."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.losses.bounded import bounded_logsumexp

ROWS, COLUMNS = 11, 17


def arrays(scale):
    rng = np.random.default_rng(0)

    def unit(count):
        x = rng.normal(size=(count, 5))
        return jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), jnp.float32)

    valid = jnp.asarray(rng.uniform(size=COLUMNS) < 0.7)
    return scale * unit(ROWS), unit(COLUMNS), valid, jnp.asarray(rng.uniform(size=ROWS) < 0.6)


def excluded(row, column):
    return (row + column) % 5 == 0


def plain(rows, columns, valid, *_):
    keep = valid[None] & ~excluded(jnp.arange(ROWS)[:, None], jnp.arange(COLUMNS)[None])
    return jax.nn.logsumexp(jnp.where(keep, rows @ columns.T, -jnp.inf), axis=1)


@functools.partial(jax.jit, static_argnames=("function", "scale"))
def evaluate(function, weights, scale):
    rows, columns, valid, counted = arrays(scale)

    def total(rows, columns):
        values = function(rows, columns, valid, counted)
        return (jnp.where(weights != 0, values, 0) * weights).sum(), values

    return jax.value_and_grad(total, (0, 1), has_aux=True)(rows, columns)


# 1 / tau of 0.1, of almost what is the limit, and above it
@pytest.mark.parametrize("scale", [10.0, 39.0, 60.0])
@pytest.mark.parametrize("alike", [True, False])
def test_values_and_gradients_are_those_of_the_formula(alike, scale):
    """Also where rows weigh differently, which the forward pass could not know."""
    counted = arrays(scale)[3]
    uneven = jnp.asarray(np.random.default_rng(1).normal(size=ROWS), jnp.float32)
    weights = jnp.where(counted, 0.3, 0.0) if alike else uneven
    ours = functools.partial(bounded_logsumexp, chunk=4, bound=scale, excluded=excluded)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5),
        evaluate(ours, weights, scale),
        evaluate(plain, weights, scale),
    )


def test_a_row_without_columns_is_finite_and_has_no_gradient():
    rows, columns, valid, counted = arrays(10.0)

    def total(rows, columns):
        return bounded_logsumexp(rows, columns, valid & False, counted, chunk=4, bound=10.0).sum()

    value, grads = jax.value_and_grad(total, (0, 1))(rows, columns)
    assert np.isfinite(value) and not any(np.asarray(grad).any() for grad in grads)


def products_of(text):
    return text.count("dot_general[")


def test_a_block_costs_three_products():
    rows, columns, valid, counted = arrays(10.0)

    def total(rows, columns):
        return bounded_logsumexp(rows, columns, valid, counted, chunk=4, bound=10.0).sum()

    forward = jax.make_jaxpr(lambda *x: jax.vjp(total, *x)[0])(rows, columns)
    assert products_of(str(forward)) == 3
