"""A loop over the rows that count, however few they are: exact, and its time goes with their number.

Six in ten time stamps have a word. Rows are put into an order in which those that count come first, the order
is cut into blocks, and the loop ends behind the last block with one of them. So no share has to be guessed
beforehand, and nothing overflows.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int

Block = Callable[..., tuple[Any, Any]]  # (carry, index of rows, their parts of arrays) -> carry, results


def over_counted(
    block: Block, carry: Any, counted_N: Bool[Array, "rows"], chunk: int, *per_row: Array
) -> tuple[Any, Any]:
    """The carry after all blocks of rows that count, and their results; those of other rows are 0.

    Args:
      block: of at most `chunk` rows. Some of the last block do not count, and beyond the last row indices are
        too large and parts 0; they are to leave the carry as it is.
      carry: before the first block.
      counted_N: rows that count.
      per_row: arrays whose first axis is that of rows.
    """
    order_KR, place_N = blocks_of_counted(counted_N, chunk)
    blocks, size = order_KR.shape
    needed = largest(-(-counted_N.sum(dtype=jnp.int32) // size))

    def of_block(number: Array, carry: Any) -> tuple[Any, Any]:
        index_R = lax.dynamic_index_in_dim(order_KR, number, keepdims=False)
        parts = (x.at[index_R].get(mode="fill", fill_value=0) for x in per_row)
        return block(carry, index_R, *parts)

    def turn(state):
        number, carry, results = state
        carry, own = of_block(number, carry)
        put = functools.partial(lax.dynamic_update_index_in_dim, index=number, axis=0)
        return number + 1, carry, jax.tree.map(put, results, own)

    def more(state):  # the constant says how many turns there are at most: tools/xla_program.py reads it
        return (state[0] < blocks) & (state[0] < needed)

    first = jnp.zeros((), jnp.int32)
    own = jax.eval_shape(of_block, first, carry)[1]
    results = jax.tree.map(lambda x: jnp.zeros((blocks, *x.shape), x.dtype), own)
    _, carry, results = lax.while_loop(more, turn, (first, carry, results))
    return carry, jax.tree.map(lambda x: _in_place(x, place_N, counted_N), results)


def blocks_of_counted(
    counted_N: Bool[Array, "rows"], chunk: int
) -> tuple[Int[Array, "blocks size"], Int[Array, "rows"]]:
    """Indices of rows in blocks, those that count first, and the place of each row in them.

    The last block is filled up with indices that are too large by one.
    """
    rows = len(counted_N)
    blocks = -(-rows // chunk)
    size = -(-rows // blocks)
    order_N = jnp.argsort(~counted_N, stable=True)
    order_KR = jnp.pad(order_N, (0, blocks * size - rows), constant_values=rows).reshape(blocks, size)
    before_N = jnp.cumsum(counted_N, dtype=jnp.int32)
    other_N = counted_N.sum(dtype=jnp.int32) + jnp.arange(rows, dtype=jnp.int32) - before_N
    return order_KR, jnp.where(counted_N, before_N - 1, other_N)


@jax.custom_batching.custom_vmap
def largest(count: Int[Array, ""]) -> Int[Array, ""]:
    """The number itself; under `vmap` the largest of all, one for all: their loops turn together."""
    return count


@largest.def_vmap
def _largest_of_all(size: int, batched: list[bool], count: Array) -> tuple[Array, bool]:
    return largest(count.max() if batched[0] else count), False


def _in_place(results_KR: Array, place_N: Array, counted_N: Array) -> Array:
    """Results by row, 0 where it does not count."""
    results_N = results_KR.reshape(-1, *results_KR.shape[2:])[place_N]
    return jnp.where(counted_N.reshape(-1, *[1] * (results_N.ndim - 1)), results_N, 0)
