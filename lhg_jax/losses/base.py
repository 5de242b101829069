"""What a loss returns: sums and counts per example, averaged once, over the global batch."""

import functools
import operator
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@flax.struct.dataclass
class LossValue:
    """Sums that can be added up over steps, micro-batches and devices before they are divided.

    Attributes:
      values: [B] sum over an example's scored items (frames, words), float32.
      count: [B] number of these items.
      terms: Named parts of the loss in the same form, for logs; their means add up to the mean where all have
        the loss's own count.
    """

    values: Any  # fields of a pytree: transformations put other things than arrays in them
    count: Any
    terms: Mapping[str, "LossValue"] = flax.struct.field(default_factory=dict)

    def mean(self) -> Float[Array, ""]:
        """Mean over all items of all examples; 0 where there is none."""
        return self.values.sum() / jnp.maximum(self.count.sum(), 1)

    def term_means(self) -> dict[str, Float[Array, ""]]:
        """Mean of every named term."""
        return {name: term.mean() for name, term in self.terms.items()}


def total(terms: Mapping[str, LossValue]) -> Float[Array, "batch"]:
    """Sum of the values of all terms."""
    return functools.reduce(operator.add, (term.values for term in terms.values()))


def masked_loss(
    terms_BT: Mapping[str, Float[Array, "batch item"]], mask_BT: Bool[Array, "batch item"]
) -> LossValue:
    """Adds up the terms of every item and sums what `mask_BT` holds; other items get zero gradient."""
    count = mask_BT.sum(1).astype(next(iter(terms_BT.values())).dtype)
    terms = {
        name: LossValue(jnp.where(mask_BT, term_BT, 0).sum(1), count) for name, term_BT in terms_BT.items()
    }
    return LossValue(total(terms), count, terms)


def as_float(x: Array) -> Array:
    """Losses are computed in float32, or float64 for float64 input."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)
