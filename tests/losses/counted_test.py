"""A loop over the rows that count: as if all were visited, and no block more than needed."""

import functools
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.losses.counted import blocks_of_counted, over_counted
from lhg_jax.training.flops import count_flops

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from xla_program import parse

ROWS, CHUNK = 23, 4


def some(share, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=ROWS) < share)


def block(carry, index, x, weight):
    """How many blocks there were, the weighted sum of rows, and results of two shapes."""
    turns, total = carry
    return (turns + 1, total + weight @ x), (x.sum(1), x * index[:, None].astype(x.dtype))


@jax.jit
def run(x, counted):
    carry = jnp.int32(0), jnp.zeros(x.shape[1])
    return over_counted(block, carry, counted, CHUNK, x, counted.astype(x.dtype))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.6, 1.0])
def test_results_are_those_of_every_row_that_counts(share):
    x, counted = np.random.default_rng(1).normal(size=(ROWS, 3)).astype(np.float32), some(share)
    (turns, total), (sums, scaled) = run(x, counted)
    np.testing.assert_allclose(total, x[counted].sum(0), atol=1e-5)
    np.testing.assert_allclose(sums, np.where(counted, x.sum(1), 0), atol=1e-6)
    np.testing.assert_array_equal(
        scaled, np.where(counted[:, None], x * np.arange(ROWS, dtype=np.float32)[:, None], 0)
    )
    assert turns == -(-int(counted.sum()) // CHUNK)


def test_every_row_has_one_place():
    counted = some(0.5)
    order, place = blocks_of_counted(counted, CHUNK)
    np.testing.assert_array_equal(order.reshape(-1)[place], np.arange(ROWS))
    np.testing.assert_array_equal(order.reshape(-1)[ROWS:], ROWS)
    assert np.flatnonzero(place < counted.sum()).tolist() == np.flatnonzero(counted).tolist()


def test_groups_turn_as_often_as_the_one_with_most_rows():
    x = np.random.default_rng(2).normal(size=(3, ROWS, 3)).astype(np.float32)
    counted = jnp.stack([some(share) for share in (0.1, 0.7, 0.3)])
    (turns, total), results = jax.jit(jax.vmap(run))(x, counted)
    assert set(turns.tolist()) == {-(-int(counted.sum(1).max()) // CHUNK)}
    alone = [run(*one) for one in zip(x, counted, strict=True)]
    close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    close(total, np.stack([one[0][1] for one in alone]))
    jax.tree.map(lambda ours, *own: close(ours, np.stack(own)), results, *(one[1] for one in alone))


def multiply(x, counted):
    def product(carry, index, rows):
        return carry + rows.T @ rows, rows.sum(1)

    return over_counted(product, jnp.zeros((3, 3)), counted, CHUNK, x)


def test_readers_of_programs_count_it_as_if_all_rows_did():
    """The jaxpr, and what XLA compiles; the latter also the share of it that has to be."""
    shapes = jax.ShapeDtypeStruct((ROWS, 3), jnp.float32), jax.ShapeDtypeStruct((ROWS,), bool)
    blocks = -(-ROWS // CHUNK)
    assert count_flops(multiply, *shapes) == blocks * 2 * 3 * 3 * CHUNK
    text = jax.jit(multiply).lower(*shapes).compile().as_text()
    for share in (1.0, 0.6):
        program = parse(text, share)
        loops = [
            program.trips(computation, instruction)
            for computation in program.computations.values()
            for instruction in computation.instructions.values()
            if instruction.opcode == "while"
        ]
        assert math.ceil(share * blocks) in loops
