"""What losses share: sums over the items that a mask holds, in float32 (contract.LossSums)."""

import functools
import operator
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lhg_jax.contract import LossSums


def masked_loss(
    terms_BT: Mapping[str, Float[Array, "batch item"]], mask_BT: Bool[Array, "batch item"]
) -> LossSums:
    """Adds up the terms of every item and sums what `mask_BT` holds; other items get zero gradient.

    Terms may nearly cancel (those of Eq. 2 do), so they are added while they belong to one item: the
    difference of two large sums would be off by their rounding.
    """
    items_BT = functools.reduce(operator.add, terms_BT.values())
    counts = mask_BT.sum(1).astype(items_BT.dtype)

    def held(x_BT: Array) -> Array:
        return jnp.where(mask_BT, x_BT, 0).sum(1)

    terms = {name: LossSums(held(term_BT), counts) for name, term_BT in terms_BT.items()}
    return LossSums(held(items_BT), counts, terms)


def as_float(x: Array) -> Array:
    """Losses are computed in float32, or float64 for float64 input."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
