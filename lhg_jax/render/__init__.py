"""Renderers: listener motion and one portrait in, frames out. Found by name, imported when asked for.

`load_renderer` gives a `Renderer`.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from lhg_jax.motion import CoefficientSpace, Motion
from lhg_jax.util import registry
from lhg_jax.util.errors import UserError


@runtime_checkable
class Animator(Protocol):
    """A portrait that can be moved."""

    def animate(self, motion: Motion, times_s: np.ndarray) -> Iterator[np.ndarray]:
        """One RGB image for each time (s), drawn one after another."""
        ...


@runtime_checkable
class Renderer(Protocol):
    """Makes portraits move."""

    @property
    def space(self) -> CoefficientSpace:
        """Of the motion that it takes."""
        ...

    def __call__(self, portrait: np.ndarray, fit: Any) -> Animator:
        """The portrait, RGB, and its fit by a tracker of the same space."""
        ...


# Name -> "module:function"; the function takes the path of the weights, or None where none were named.
RENDERERS: dict[str, str] = {
    "mesh": "lhg_jax.render.mesh.renderer:load",
    "pirenderer": "lhg_jax.render.pirenderer:load",
    "faceshop": "lhg_jax.render.faceshop.renderer:load",
    "liveportrait": "lhg_jax.render.liveportrait.renderer:load",
}


def load_renderer(name: str, weights: Path | None = None) -> Renderer:
    """The renderer called `name`. Raises `UserError` for unknown names and for weights that do not fit it."""
    return registry.find("renderer", name, RENDERERS)(weights)


def crop_only(renderer: Any) -> Any:
    """A renderer that gives the crop it draws. Raises `UserError` where it draws the whole portrait."""
    if not hasattr(renderer, "whole"):
        raise UserError("--paste crop: this renderer draws the whole portrait, there is no crop")
    return dataclasses.replace(renderer, whole=False)


def draw_fewer(renderer: Renderer, fps: float) -> Renderer:
    """A renderer that draws `fps` frames a second at most."""
    from lhg_jax.render.frame_rate import FewerFrames

    return FewerFrames(renderer, fps, renderer.space)


def check_fps(fps: float | None) -> None:
    """Raises `UserError` where a renderer is asked for no frames."""
    if fps is not None and not fps > 0:
        raise UserError(f"--renderer-fps {fps:g}: must be positive")
