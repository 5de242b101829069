"""Row-wise reductions of a similarity matrix that is never stored: the core of all contrastive losses.

N anchors against M columns give an N x M matrix, for Eq. 2 N x 3N: gigabytes for minutes of speech. Here a
block of rows is computed, reduced and forgotten, and computed again in the backward pass: memory O(N + M).
Both functions are plain `jit` code: with sharded rows and columns every row still sees all columns of the
global batch.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

# Of float32 operands: three bfloat16 passes on TPUs, whose default of one is coarse for logits up to 1/tau,
# TF32 on NVIDIA GPUs, float32 on CPUs. Sums and everything else are float32.
PRECISION = lax.Precision.HIGH

Elementwise = Callable[[Array], Array]
Excluded = Callable[[Array, Array], Array]  # (rows [R, 1], columns [1, M]), indices -> bool [R, M]


def identity(x: Array) -> Array:
    """Dot products as they are."""
    return x


def nothing(row: Array, column: Array) -> Array:
    """Leaves no pair out."""
    return jnp.zeros(jnp.broadcast_shapes(row.shape, column.shape), bool)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def blockwise_logsumexp(
    rows_ND: Float[Array, "rows size"],
    columns_MD: Float[Array, "columns size"],
    valid_M: Bool[Array, "columns"],
    chunk: int,
    logit: Elementwise = identity,
    excluded: Excluded = nothing,
) -> Float[Array, "rows"]:
    """log sum_j exp(logit(row . column_j)) of each row.

    Args:
      rows_ND, columns_MD: vectors whose dot products are compared.
      valid_M: columns that take part in any sum; a row without one gets a large negative number.
      chunk: largest number of rows in memory at a time.
      logit: from dot products to logits, elementwise.
      excluded: pairs to leave out.
    """

    def block(rows_RD: Array, index_R: Array) -> Array:
        logits_RM = logit(products(rows_RD, columns_MD))
        # A finite stand-in for -inf: a row without columns stays finite, so that it can be masked later.
        floor = jnp.finfo(logits_RM.dtype).min / 2
        return jax.nn.logsumexp(jnp.where(allowed(index_R, valid_M, excluded), logits_RM, floor), axis=1)

    return _map_blocks(block, chunk, rows_ND, jnp.arange(len(rows_ND)))


def _logsumexp_forward(rows_ND, columns_MD, valid_M, chunk, logit, excluded):
    values_N = blockwise_logsumexp(rows_ND, columns_MD, valid_M, chunk, logit, excluded)
    return values_N, (rows_ND, columns_MD, valid_M, values_N)


def _logsumexp_backward(chunk, logit, excluded, residuals, dvalues_N):
    rows_ND, columns_MD, valid_M, values_N = residuals

    def dproducts(products_RM: Array, index_R: Array, values_R: Array, dvalues_R: Array) -> Array:
        logits_RM, pull_back = jax.vjp(logit, products_RM)
        dlogits_RM = jnp.exp(logits_RM - values_R[:, None]) * dvalues_R[:, None]  # the softmax
        return pull_back(jnp.where(allowed(index_R, valid_M, excluded), dlogits_RM, 0))[0]

    per_row = (jnp.arange(len(rows_ND)), values_N, dvalues_N)
    return *_pull_back(dproducts, chunk, rows_ND, columns_MD, *per_row), None


blockwise_logsumexp.defvjp(_logsumexp_forward, _logsumexp_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def blockwise_sum_softplus(
    rows_ND: Float[Array, "rows size"],
    columns_MD: Float[Array, "columns size"],
    valid_M: Bool[Array, "columns"],
    chunk: int,
    bias: float,
) -> Float[Array, "rows"]:
    """sum_j log(1 + exp(row . column_j + bias)) of each row, over the valid columns; 0 without any.

    Args:
      rows_ND, columns_MD, valid_M, chunk: as in `blockwise_logsumexp`.
      bias: added to every dot product.
    """

    def block(rows_RD: Array) -> Array:
        softplus_RM = jax.nn.softplus(products(rows_RD, columns_MD) + bias)
        return jnp.where(valid_M[None], softplus_RM, 0).sum(1)

    return _map_blocks(block, chunk, rows_ND)


def _softplus_forward(rows_ND, columns_MD, valid_M, chunk, bias):
    values_N = blockwise_sum_softplus(rows_ND, columns_MD, valid_M, chunk, bias)
    return values_N, (rows_ND, columns_MD, valid_M)


def _softplus_backward(chunk, bias, residuals, dvalues_N):
    rows_ND, columns_MD, valid_M = residuals

    def dproducts(products_RM: Array, dvalues_R: Array) -> Array:
        return jnp.where(valid_M[None], jax.nn.sigmoid(products_RM + bias) * dvalues_R[:, None], 0)

    return *_pull_back(dproducts, chunk, rows_ND, columns_MD, dvalues_N), None


blockwise_sum_softplus.defvjp(_softplus_forward, _softplus_backward)


def product(a: Array, b: Array) -> Array:
    """Matrix product, as precise as `PRECISION`; added up in float32, float64 ones in float64."""
    added_up = a.dtype if a.dtype == jnp.float64 else jnp.float32
    return jnp.matmul(a, b, precision=PRECISION, preferred_element_type=added_up)


def products(rows_RD: Array, columns_MD: Array) -> Array:
    """Dot products of each row with each column."""
    return product(rows_RD, columns_MD.T)


@jax.jit
def recomputed(rows_RD: Array, columns_MD: Array) -> Array:
    """Products that the forward pass has made before; training/flops.py knows them by this name."""
    return products(rows_RD, columns_MD)


def allowed(index_R: Array, valid_M: Array, excluded: Excluded) -> Array:
    """Pairs [R, M] that take part."""
    return valid_M[None] & ~excluded(index_R[:, None], jnp.arange(len(valid_M))[None])


def _map_blocks(block: Callable[..., Array], chunk: int, *per_row: Array) -> Array:
    """`block` of every block of rows, joined."""
    blocks = lax.map(lambda inputs: block(*inputs), tuple(split(x, chunk) for x in per_row))
    return join(blocks, len(per_row[0]))


def _pull_back(
    dproducts: Callable[..., Array], chunk: int, rows_ND: Array, columns_MD: Array, *per_row: Array
) -> tuple[Array, Array]:
    """Gradients by rows and columns.

    `dproducts` gives a block's gradient by its dot products, from these and its part of every `per_row`.
    """

    def block(dcolumns_MD: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        rows_RD, *own = inputs
        dproducts_RM = dproducts(recomputed(rows_RD, columns_MD), *own)
        drows_RD = product(dproducts_RM, columns_MD)
        return dcolumns_MD + product(dproducts_RM.T, rows_RD), drows_RD

    blocks = tuple(split(x, chunk) for x in (rows_ND, *per_row))
    dcolumns_MD, drows = lax.scan(block, jnp.zeros_like(columns_MD), blocks)
    return join(drows, len(rows_ND)), dcolumns_MD


def split(x_N: Array, chunk: int) -> Array:
    """Rows in blocks [count, size, ...], padded with zeros.

    Block k takes rows k, k + count, k + 2 count, ...: where the rows are sharded over devices in pieces, each
    block then has its part on every device; consecutive rows would leave all devices but one idle.
    """
    count = -(-len(x_N) // chunk)
    size = -(-len(x_N) // count)
    padded = jnp.pad(x_N, [(0, size * count - len(x_N))] + [(0, 0)] * (x_N.ndim - 1))
    return jnp.swapaxes(padded.reshape(size, count, *x_N.shape[1:]), 0, 1)


def join(blocks: Array, rows: int) -> Array:
    """The inverse of `split`."""
    return jnp.swapaxes(blocks, 0, 1).reshape(-1, *blocks.shape[2:])[:rows]
