"""Log-sum-exp of bounded products: values and gradients are those of the plain formula."""

import functools
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.losses.bounded import bounded_logsumexp

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from xla_program import parse

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


def plain(rows, columns, valid, counted):
    keep = valid[None] & ~excluded(jnp.arange(ROWS)[:, None], jnp.arange(COLUMNS)[None])
    return jnp.where(counted, jax.nn.logsumexp(jnp.where(keep, rows @ columns.T, -jnp.inf), axis=1), 0)


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


@pytest.mark.parametrize("alike", [True, False])
def test_bfloat16_operands_are_rounded_and_nothing_else(alike):
    """Against the formula of operands rounded before; gradients have a rounded exponential as well."""
    rows, columns, valid, counted = arrays(10.0)
    near = functools.partial(bounded_logsumexp, chunk=4, bound=10.0, excluded=excluded, operands=jnp.bfloat16)
    weights = jnp.where(counted, 0.3, 0.0) if alike else jnp.linspace(-1, 1, ROWS)

    def both(function):
        def total(rows, columns):
            values = function(rows, columns, valid, counted)
            return (jnp.where(weights != 0, values, 0) * weights).sum(), values

        return jax.value_and_grad(total, (0, 1), has_aux=True)

    rounded = [x.astype(jnp.bfloat16).astype(jnp.float32) for x in (rows, columns)]
    (_, ours), grads = both(near)(rows, columns)
    (_, theirs), exact = both(plain)(*rounded)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6)
    for grad, want in zip(grads, exact, strict=True):
        assert grad.dtype == jnp.float32
        np.testing.assert_allclose(grad, want, atol=1e-2 * np.abs(want).max())


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


def products_made(program):
    """How many matrix products a compiled program makes, loops as often as they turn."""

    def in_one(instruction):
        inner = [program.computations[name] for name in instruction.called if name in program.computations]
        return sum(other.opcode == "dot" for part in inner for other in part.instructions.values())

    return sum(
        times * (1 if instruction.opcode == "dot" else in_one(instruction))
        for _, instruction, times in program.executed()
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_nothing_is_computed_again_where_rows_weigh_alike(groups):
    """Three products a block. XLA had taken the fallback's out of its loop, and made six."""

    def loss(rows, columns, valid, counted):
        of_group = functools.partial(bounded_logsumexp, chunk=4, bound=10.0)
        return jax.vmap(of_group)(rows, columns, valid, counted).mean()

    each = jax.tree.map(lambda x: jnp.stack([x] * groups), arrays(10.0))
    compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*each).compile()
    blocks = -(-ROWS // 4)
    assert products_made(parse(compiled.as_text())) == 3 * blocks
