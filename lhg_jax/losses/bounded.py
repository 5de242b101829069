"""Row-wise log-sum-exp of bounded dot products, whose gradients the forward pass makes on the way.

Cosines over tau lie within 1/tau. So no running maximum is needed, sums over parts of the columns simply add
up, and each exponential is taken once. And a loss weighs all of its anchors alike, so that the gradients are
known but for one factor while a block of the N x M matrix is there: three matrix products a block instead of
four, and nothing is computed again. A backward pass that weighs rows otherwise computes the blocks anew.
Only anchors are computed: they are brought to the front, and the loop ends with the last of them.
Products may have bfloat16 operands; what is added up is float32.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from lhg_jax.losses.blockwise import (
    Excluded,
    allowed,
    blockwise_logsumexp,
    nothing,
    product,
    products,
)
from lhg_jax.losses.counted import over_counted

# exp(-2 bound) has to be a normal float32, as that of the smallest dot product less the largest.
LARGEST_BOUND = 40.0


def bounded_logsumexp(
    rows_ND: Float[Array, "rows size"],
    columns_MD: Float[Array, "columns size"],
    valid_M: Bool[Array, "columns"],
    counted_N: Bool[Array, "rows"],
    *,
    chunk: int,
    bound: float,
    excluded: Excluded = nothing,
    operands: DTypeLike | None = None,
) -> Float[Array, "rows"]:
    """log sum_j exp(row . column_j) of each row that counts, 0 of others.

    Args:
      rows_ND, columns_MD, valid_M, chunk, excluded: as in `blockwise_logsumexp`.
      counted_N: rows that the loss adds up. Time goes with their number. Where they have different weights,
        gradients take longer.
      bound: no dot product is larger, or less than its negative. Above `LARGEST_BOUND` this is
        `blockwise_logsumexp`, in the type of the rows.
      operands: type that the operands of the matrix products are rounded to; None: none are. bfloat16 costs
        one pass on TPUs instead of three; a product is off by 1 % of the bound at most, typically by a
        hundredth of that.
    """
    if bound > LARGEST_BOUND:
        values_N = blockwise_logsumexp(rows_ND, columns_MD, valid_M, chunk, excluded=excluded)
        return jnp.where(counted_N, values_N, 0)
    operands = rows_ND.dtype if operands is None else operands
    return _logsumexp(rows_ND, columns_MD, valid_M, counted_N, chunk, bound, excluded, operands)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def _logsumexp(rows_ND, columns_MD, valid_M, counted_N, chunk, bound, excluded, operands):
    columns_MD = columns_MD.astype(operands)

    def block(carry, index_R, rows_RD):
        _, sums_R = _exponentials(rows_RD, index_R, columns_MD, valid_M, bound, excluded)
        return carry, bound + jnp.log(sums_R)

    return over_counted(block, None, counted_N, chunk, rows_ND.astype(operands))[1]


def _exponentials(rows_RD, index_R, columns_MD, valid_M, bound, excluded) -> tuple[Array, Array]:
    """exp(product - bound) of a block, zero where not allowed, and its sums (not quite 0 for no column)."""
    e_RM = jnp.exp(products(rows_RD, columns_MD) - bound)
    e_RM = jnp.where(allowed(index_R, valid_M, excluded), e_RM, 0)
    sums_R = e_RM.sum(1)
    return e_RM, jnp.maximum(sums_R, nothing_at_all(sums_R))


def nothing_at_all(sums_R: Array) -> float:
    """A sum that stands for no column: less than exp(-2 LARGEST_BOUND), and its logarithm is finite."""
    return float(jnp.finfo(sums_R.dtype).tiny)


def _forward(rows_ND, columns_MD, valid_M, counted_N, chunk, bound, excluded, operands):
    weights_N = counted_N.astype(rows_ND.dtype)
    gradients = functools.partial(_gradients, chunk=chunk, bound=bound, excluded=excluded, operands=operands)
    values_N, drows_ND, dcolumns_MD = gradients(rows_ND, columns_MD, valid_M, counted_N, weights_N)
    return values_N, (rows_ND, columns_MD, valid_M, counted_N, drows_ND, dcolumns_MD)


def _backward(chunk, bound, excluded, operands, residuals, dvalues_N):
    rows_ND, columns_MD, valid_M, counted_N, drows_ND, dcolumns_MD = residuals
    factor = jnp.max(jnp.where(counted_N, dvalues_N, jnp.finfo(dvalues_N.dtype).min))
    unlike = (counted_N & (dvalues_N != factor)).any()

    @jax.jit
    def recomputed(weights_N):  # training/flops.py knows it by this name
        arrays = rows_ND, columns_MD, valid_M, counted_N, weights_N
        return _gradients(*arrays, chunk=chunk, bound=bound, excluded=excluded, operands=operands)[1:]

    def compute(state):
        _, weights_N, _ = state
        return jnp.zeros_like(unlike), jnp.zeros_like(weights_N), recomputed(weights_N)

    # A loop of one turn or none: under `vmap` a `cond` would compute both of its sides, always. The weights
    # change in it, because XLA takes what is the same in every turn out of a loop, and computes it always.
    state = unlike, jnp.where(counted_N, dvalues_N, 0), (factor * drows_ND, factor * dcolumns_MD)
    *_, gradients = lax.while_loop(lambda state: state[0], compute, state)
    return *gradients, None, None


_logsumexp.defvjp(_forward, _backward)


def _gradients(
    rows_ND: Array,
    columns_MD: Array,
    valid_M: Array,
    counted_N: Array,
    weights_N: Array,
    *,
    chunk: int,
    bound: float,
    excluded: Excluded,
    operands: DTypeLike,
) -> tuple[Array, Array, Array]:
    """Values, and the gradients of their sum by `weights_N`: by rows and by columns."""
    exact_MD, rows_ND, columns_MD = columns_MD, rows_ND.astype(operands), columns_MD.astype(operands)

    def block(dcolumns_MD, index_R, rows_RD, weights_R):
        e_RM, sums_R = _exponentials(rows_RD, index_R, columns_MD, valid_M, bound, excluded)
        # Scales rows of the small operands, not of the block. Rows without columns have no gradient.
        share_R1 = jnp.where(sums_R > nothing_at_all(sums_R), weights_R / sums_R, 0)[:, None]
        e_RM = e_RM.astype(operands)
        drows_RD = share_R1 * product(e_RM, columns_MD)
        dcolumns_MD += product(e_RM.T, (share_R1 * rows_RD.astype(share_R1.dtype)).astype(operands))
        return dcolumns_MD, (bound + jnp.log(sums_R), drows_RD)

    start_MD = jnp.zeros_like(exact_MD)
    dcolumns_MD, (values_N, drows_ND) = over_counted(block, start_MD, counted_N, chunk, rows_ND, weights_N)
    return values_N, drows_ND, dcolumns_MD
