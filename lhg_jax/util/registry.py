"""Stages found by name: tables of "module:function", imported only when asked for."""

import importlib
from collections.abc import Mapping
from typing import Any

from lhg_jax.util.errors import UserError


def require_known(kind: str, name: str, table: Mapping[str, object]) -> None:
    """Raises `UserError` listing what `table` has if `name` is not in it; `kind` is for the message."""
    if name not in table:
        raise UserError(f"unknown {kind} {name!r} (known: {', '.join(table)})")


def find(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object called `name` in `table`. Raises `UserError` listing the known names."""
    require_known(kind, name, table)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
