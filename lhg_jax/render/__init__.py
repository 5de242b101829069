"""Renderers: listener motion and one portrait in, frames out. Found by name, imported when asked for."""

import importlib
from typing import Any

from lhg_jax.errors import UserError

# Name -> "module:class". The class takes (portrait, fit) and has `space` and `render(values)`.
RENDERERS: dict[str, str] = {"mesh": "lhg_jax.render.mesh:MeshRenderer"}


def get_renderer(name: str) -> Any:
    """The renderer class called `name`. Raises `UserError` listing the known names."""
    if name not in RENDERERS:
        raise UserError(f"unknown renderer {name!r} (known: {', '.join(RENDERERS)})")
    module, _, attribute = RENDERERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
