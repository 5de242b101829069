"""The drawing half of the pipeline: a portrait is looked at, and moved by motion in any space."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lhg_jax import faces
from lhg_jax.faces.tracking_result import PortraitFit
from lhg_jax.motion import CoefficientSpace, Motion
from lhg_jax.pipeline.listening import Image, Listening, Whole
from lhg_jax.pipeline.portrait import look, name_of
from lhg_jax.pipeline.source import AnyPath, Source
from lhg_jax.pipeline.stages import Stages, TimedStages
from lhg_jax.pipeline.timeline import Timeline
from lhg_jax.render import Animator, Renderer, check_fps, draw_fewer
from lhg_jax.render.bridged import BridgedRenderer, for_motion
from lhg_jax.restore import Restorer
from lhg_jax.util.errors import about
from lhg_jax.util.once import Once
from lhg_jax.util.registry import require_known


class Animation:
    """Renderer, restoration and trackers, for any number of portraits; threads may share it."""

    def __init__(
        self,
        renderer: Renderer,
        restorer: Restorer,
        *,
        fps: float | None,
        bridge: Path | None,
        tracker: str,
        tracker_weights: Path | None,
        face: int | None,
        size: int,
    ):
        """See `Pipeline`; `fps` is its `renderer_fps`. Raises `UserError` where that is not positive."""
        check_fps(fps)
        require_known("tracker", tracker, faces.POINTS)
        self.renderer, self.restorer, self.fps, self.bridge = renderer, restorer, fps, bridge
        self.points, self.tracker_weights, self.face, self.size = tracker, tracker_weights, face, size
        self.once = Once()

    def tracker(self, space: CoefficientSpace) -> faces.Tracker:
        """The face tracker in that space; where a bridge leads on, weights are for its other end."""
        bridged = isinstance(self._way(space, "the motion"), BridgedRenderer)
        weights = None if bridged else self.tracker_weights
        return self.once(("tracker", space), lambda: faces.get_tracker(space, weights, self.points))

    def renderer_for(self, space: CoefficientSpace, what: str) -> Renderer:
        """The renderer for motion in that space. Raises `UserError`, naming `what` has it, for others."""
        way = self._way(space, what)
        return way if self.fps is None else draw_fewer(way, self.fps)

    def look(
        self, timed: Stages, portrait: AnyPath | Whole, space: CoefficientSpace
    ) -> tuple[Image, PortraitFit]:
        """The portrait as it is drawn, and its fit in that space."""
        return look(portrait, self.tracker(space), self.face, self.size, timed)

    def animated(
        self, image: Image, fit: PortraitFit, portrait: AnyPath | Whole, space: CoefficientSpace
    ) -> Animator:
        """The portrait, ready to be moved by motion in that space.

        Before the slow stages, for it raises `UserError` where that cannot be, e.g. for a small face.
        """
        with about(name_of(portrait)):
            return self.renderer_for(space, "the motion")(image, fit)

    def listening(
        self,
        timed: TimedStages,
        motion: Motion,
        animated: Animator,
        source: Source | None,
        timeline: Timeline | None = None,
    ) -> Listening:
        """The portrait moved by the motion; sound and, where none are given, time stamps are the source's."""
        if timeline is None:
            timeline = source.timeline if source else Timeline.regular(len(motion), motion.fps)

        def draw(frames: np.ndarray) -> Iterator[Image]:
            with timed.stage("rendering", len(frames)) as advance:
                for drawn in self.restorer(animated.animate(motion, timeline.centres_s[frames])):
                    advance()
                    yield drawn

        return Listening(motion, timeline, timed.seconds, source, draw)

    def _way(self, space: CoefficientSpace, what: str) -> Renderer:
        def find() -> Renderer:
            way = for_motion(self.renderer, space, what, self._measure, self.bridge)
            if isinstance(way, BridgedRenderer):
                self._end(way.bridge.target)  # loaded now: errors come before the slow stages
            return way

        return self.once(("way", space), find)

    def _measure(self, portrait: Image, space: CoefficientSpace) -> PortraitFit:
        return self._end(space).track_image(portrait, self.face)

    def _end(self, space: CoefficientSpace) -> faces.Tracker:
        """The tracker at the other end of a bridge."""
        return self.once(("end", space), lambda: faces.get_tracker(space, self.tracker_weights, self.points))
