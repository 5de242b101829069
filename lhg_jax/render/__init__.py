"""Renderers: listener motion and one portrait in, frames out. Found by name, imported when asked for.

What `load_renderer` gives has `space` (of the motion it takes) and is called as `renderer(portrait, fit)`
with an image and the tracker's fit of it; the result has `animate(motion, times_s)`, which yields one image
for each time.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lhg_jax.util import registry
from lhg_jax.util.errors import UserError

# Name -> "module:function"; the function takes the path of the weights, or None where none were named.
RENDERERS: dict[str, str] = {
    "mesh": "lhg_jax.render.mesh.renderer:load",
    "pirenderer": "lhg_jax.render.pirenderer:load",
    "faceshop": "lhg_jax.render.faceshop.renderer:load",
    "liveportrait": "lhg_jax.render.liveportrait.renderer:load",
}


def load_renderer(name: str, weights: Path | None = None) -> Any:
    """The renderer called `name`. Raises `UserError` for unknown names and for weights that do not fit it."""
    return registry.find("renderer", name, RENDERERS)(weights)


def crop_only(renderer: Any) -> Any:
    """A renderer that gives the crop it draws. Raises `UserError` where it draws the whole portrait."""
    if not hasattr(renderer, "whole"):
        raise UserError("--paste crop: this renderer draws the whole portrait, there is no crop")
    return dataclasses.replace(renderer, whole=False)
