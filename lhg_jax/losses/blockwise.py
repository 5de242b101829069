"""Row-wise reductions of a similarity matrix that is never stored: the core of all contrastive losses.

N anchors against M columns give an N x M matrix, for Eq. 2 N x 3N: gigabytes for minutes of speech. Here a
chunk of rows is computed, reduced and forgotten, and computed again in the backward pass: memory O(N + M).
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class Reduction:
    """A reduction over the allowed columns of a row, and its derivative.

    Attributes:
      value: (logits [R, M], allowed [R, M]) -> [R].
      slope: (logits [R, M], values [R, 1]) -> d value / d logits [R, M], for allowed columns.
    """

    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]


def _log_sum_exp(logits_RM: Array, allowed_RM: Array) -> Array:
    # A finite stand-in for -inf: a row without allowed columns stays finite, so that it can be masked later.
    floor = jnp.finfo(logits_RM.dtype).min / 2
    return jax.nn.logsumexp(jnp.where(allowed_RM, logits_RM, floor), axis=1)


LOG_SUM_EXP = Reduction(_log_sum_exp, lambda logits_RM, values_R1: jnp.exp(logits_RM - values_R1))
SUM_SOFTPLUS = Reduction(
    lambda logits_RM, allowed_RM: jnp.where(allowed_RM, jax.nn.softplus(logits_RM), 0).sum(1),
    lambda logits_RM, values_R1: jax.nn.sigmoid(logits_RM),
)


@dataclasses.dataclass(frozen=True)
class Rule:
    """What to reduce, and how.

    Attributes:
      reduction: Over the columns of a row.
      logit: From dot products of rows and columns to logits, elementwise.
      excluded: (row indices [R, 1], column indices [1, M]) -> [R, M] bool, pairs to leave out; None for none.
      chunk: Largest number of rows in memory at a time.
    """

    reduction: Reduction
    logit: Callable[[Array], Array]
    excluded: Callable[[Array, Array], Array] | None
    chunk: int


def _split(x_N: Array, chunk: int) -> Array:
    """Rows in chunks [count, size, ...], padded with zeros.

    Chunk k takes rows k, k + count, k + 2 count, ...: where the rows are sharded over devices in blocks, each
    chunk then has its part on every device; consecutive rows would leave all devices but one idle.
    """
    count = -(-len(x_N) // chunk)
    size = -(-len(x_N) // count)
    padded = jnp.pad(x_N, [(0, size * count - len(x_N))] + [(0, 0)] * (x_N.ndim - 1))
    return jnp.swapaxes(padded.reshape(size, count, *x_N.shape[1:]), 0, 1)


def _join(chunks: Array, rows: int) -> Array:
    """The inverse of `_split`."""
    return jnp.swapaxes(chunks, 0, 1).reshape(-1, *chunks.shape[2:])[:rows]


def _logits(rule: Rule, rows_RD: Array, columns_MD: Array) -> Array:
    return rule.logit(rows_RD @ columns_MD.T)


def _allowed(rule: Rule, index_R: Array, valid_M: Array) -> Array:
    allowed_1M = valid_M[None]
    if rule.excluded is None:
        return allowed_1M
    return allowed_1M & ~rule.excluded(index_R[:, None], jnp.arange(len(valid_M))[None])


def _indices(rows_ND: Array) -> Int[Array, "rows"]:
    return jnp.arange(len(rows_ND))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def reduce_rows(
    rule: Rule,
    rows_ND: Float[Array, "rows size"],
    columns_MD: Float[Array, "columns size"],
    valid_M: Bool[Array, "columns"],
) -> Float[Array, "rows"]:
    """Reduces each row of logit(rows @ columns^T) over the columns that are valid and not excluded.

    Plain jit code: with sharded rows and columns every row still sees all columns of the global batch.
    """

    def chunk(inputs):
        rows_RD, index_R = inputs
        return rule.reduction.value(_logits(rule, rows_RD, columns_MD), _allowed(rule, index_R, valid_M))

    values = lax.map(chunk, (_split(rows_ND, rule.chunk), _split(_indices(rows_ND), rule.chunk)))
    return _join(values, len(rows_ND))


def _reduce_forward(rule: Rule, rows_ND: Array, columns_MD: Array, valid_M: Array):
    values_N = reduce_rows(rule, rows_ND, columns_MD, valid_M)
    return values_N, (rows_ND, columns_MD, valid_M, values_N)


def _reduce_backward(rule: Rule, residuals, dvalues_N: Array):
    rows_ND, columns_MD, valid_M, values_N = residuals

    def chunk(dcolumns_MD, inputs):
        rows_RD, index_R, values_R, dvalues_R = inputs
        logits_RM, pull_back = jax.vjp(functools.partial(_logits, rule), rows_RD, columns_MD)
        slope_RM = rule.reduction.slope(logits_RM, values_R[:, None]) * dvalues_R[:, None]
        drows_RD, more_MD = pull_back(jnp.where(_allowed(rule, index_R, valid_M), slope_RM, 0))
        return dcolumns_MD + more_MD, drows_RD

    inputs = (rows_ND, _indices(rows_ND), values_N, dvalues_N)
    chunks = tuple(_split(x, rule.chunk) for x in inputs)
    dcolumns_MD, drows = lax.scan(chunk, jnp.zeros_like(columns_MD), chunks)
    return _join(drows, len(rows_ND)), dcolumns_MD, None


reduce_rows.defvjp(_reduce_forward, _reduce_backward)
