"""Restoration: sharper frames after rendering. Found by name, imported when asked for.

A restorer is a callable from an iterator of images to an iterator of as many images.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lhg_jax.util import registry
from lhg_jax.util.errors import UserError

Restorer = Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]

# Name -> "module:function"; the function takes the path of the weights, or None where none were named.
RESTORERS: dict[str, str] = {"none": "lhg_jax.restore:keep", "rvrt": "lhg_jax.restore.rvrt:load"}


def keep(weights: Path | None) -> Restorer:
    """No restoration: the frames as they are. It has no weights; `UserError` where some are named."""
    if weights:
        raise UserError("--restore-weights: no restoration that takes some was asked for (--restore)")
    return iter


def load_restorer(name: str, weights: Path | None = None) -> Restorer:
    """The restorer called `name`. Raises `UserError` for unknown names and for weights that do not fit it."""
    return registry.find("restoration", name, RESTORERS)(weights)
