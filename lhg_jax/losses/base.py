"""What losses share: sums over the items that a mask holds, in float32 (contract.LossSums)."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lhg_jax.contract import LossSums


def masked_loss(
    terms_BT: Mapping[str, Float[Array, "batch item"]], mask_BT: Bool[Array, "batch item"]
) -> LossSums:
    """Adds up the terms of every item and sums what `mask_BT` holds; other items get zero gradient."""
    counts = mask_BT.sum(1).astype(next(iter(terms_BT.values())).dtype)
    terms = {
        name: LossSums(jnp.where(mask_BT, term_BT, 0).sum(1), counts) for name, term_BT in terms_BT.items()
    }
    return LossSums(LossSums.total(terms), counts, terms)


def as_float(x: Array) -> Array:
    """Losses are computed in float32, or float64 for float64 input."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
