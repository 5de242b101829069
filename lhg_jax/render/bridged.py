"""A renderer for motion in another space than its own: directly where it knows a way, else over a bridge."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.bridges import Bridge, find_bridge, load_bridge
from lhg_jax.motion import LANDMARK, CoefficientSpace, Motion, require_same_space
from lhg_jax.render import Animator, Renderer
from lhg_jax.util.errors import UserError

log = logging.getLogger(__name__)

Image = UInt8[np.ndarray, "height width 3"]
Measure = Callable[[Image, CoefficientSpace], Any]  # tracks a portrait in a space; see `faces.Tracker`


@dataclasses.dataclass(frozen=True)
class BridgedRenderer:
    """Another renderer, behind a bridge.

    Attributes:
      renderer: takes motion in the bridge's target.
      bridge: from the motion's space to the renderer's.
      measure: tracks the portrait in the renderer's space.
    """

    renderer: Renderer
    bridge: Bridge
    measure: Measure

    @property
    def space(self) -> CoefficientSpace:
        """Of the motion that it takes."""
        return self.bridge.source

    def __call__(self, portrait: Image, fit: Any) -> "BridgedPortrait":
        """Prepares a portrait, which is tracked in the renderer's space too."""
        own = self.measure(portrait, self.bridge.target)
        references = tuple(np.asarray(one.values, np.float32) for one in (fit, own))
        return BridgedPortrait(self.renderer(portrait, own), self.bridge, *references)


@dataclasses.dataclass(frozen=True)
class BridgedPortrait:
    """A portrait that is moved by motion in the bridge's source space.

    Attributes:
      portrait: as its renderer has prepared it.
      bridge: see `BridgedRenderer`.
      reference, target_reference: the portrait in either space.
    """

    portrait: Animator
    bridge: Bridge
    reference: Float[np.ndarray, "source_coeff"]
    target_reference: Float[np.ndarray, "target_coeff"]

    def animate(self, motion: Motion, times_s: Float[np.ndarray, "times"]) -> Iterator[Image]:
        """One frame for each time (s). Raises `UserError` where the motion is in another space."""
        return self.portrait.animate(self.bridge(motion, self.reference, self.target_reference), times_s)


def for_motion(
    renderer: Renderer,
    space: CoefficientSpace,
    what: str,
    measure: Measure,
    bridge_file: Path | None = None,
) -> Renderer:
    """The renderer, ready for motion in `space`.

    Args:
      renderer: in whatever space.
      space: of the motion.
      what: whose motion it is, for the message.
      measure: see `BridgedRenderer`.
      bridge_file: the bridge to take, in place of a shorter way or of the package's own.

    Raises:
      UserError: there is no way from one space to the other, or the file leads elsewhere.
    """
    if bridge_file is not None:
        bridge = _named_bridge(bridge_file, space)
    elif (direct := _in_space(renderer, space)) is not None:
        return direct
    else:
        bridge = _package_bridge(space, renderer.space, what)
    own = _in_space(renderer, bridge.target)
    if own is None:
        raise UserError(
            f"{bridge_file}: leads to space {bridge.target.name!r} but the renderer is in space "
            f"{renderer.space.name!r}"
        )
    log.warning("%s", bridge.describe())
    return BridgedRenderer(own, bridge, measure)


def _in_space(renderer: Renderer, space: CoefficientSpace) -> Renderer | None:
    """The renderer for motion in that space, where it takes such motion itself."""
    if renderer.space == space:
        return renderer
    return renderer.in_space(space) if hasattr(renderer, "in_space") else None


def _named_bridge(path: Path, space: CoefficientSpace) -> Bridge:
    bridge = load_bridge(path)
    require_same_space(f"{path}: the bridge's source", bridge.source, "the motion", space)
    return bridge


def _package_bridge(space: CoefficientSpace, target: CoefficientSpace, what: str) -> Bridge:
    bridge = find_bridge(space, target)
    if bridge is None:
        hint = " (`python -m lhg_jax.fit_bridge` makes one for --bridge)" if space == LANDMARK else ""
        raise UserError(
            f"{what} is in space {space.name!r} but the renderer is in space {target.name!r}, "
            f"and the package has no bridge between them{hint}"
        )
    return bridge
