"""Loss functions by the names that configs use; a new loss is a function and a line here.

A loss outside the package is named `module:function`.
"""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from lhg_jax.contract import LossSums
from lhg_jax.losses import contrastive, motion
from lhg_jax.losses.contrastive import ContrastiveInputs
from lhg_jax.losses.motion import MotionInputs
from lhg_jax.util.errors import UserError

CONTRASTIVE: dict[str, Callable[..., LossSums]] = {
    "paper": contrastive.paper,
    "ha2g": contrastive.ha2g,
    "infonce": contrastive.infonce,
    "siglip": contrastive.siglip,
    "word": contrastive.word,
    "temporal": contrastive.temporal,
    "none": contrastive.none,
}

MOTION: dict[str, Callable[..., LossSums]] = {
    "paper": motion.paper,
    "vico": motion.vico,
    "squared": motion.squared,
    "huber": motion.huber,
    "l2_accel": motion.l2_accel,
}
REGISTRIES = {"motion": MOTION, "contrastive": CONTRASTIVE}


def find_loss(kind: str, name: str) -> Callable[..., LossSums]:
    """The loss `name` of the registry `kind` ("motion" or "contrastive"), or `module:function`.

    Raises `UserError` where there is none.
    """
    registry = REGISTRIES[kind]
    if name in registry:
        return registry[name]
    if ":" not in name:
        raise UserError(
            f"loss.{kind}: no loss {name!r} (there are {', '.join(registry)}, or MODULE:FUNCTION)"
        )
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"loss.{kind}: {name}: {error}") from error


def loss_options(loss: Callable[..., LossSums]) -> dict[str, Any]:
    """Options of a loss and their values where a config gives none: its keywords that have a default."""
    parameters = inspect.signature(loss).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}


def check_options(kind: str, name: str, options: Mapping[str, float]) -> None:
    """Raises `UserError` for an option that the loss does not have, and as `find_loss` does."""
    known = list(loss_options(find_loss(kind, name)))
    for option in options:
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(f"loss.{kind}_options: {name!r} has no option {option!r} ({has})")
