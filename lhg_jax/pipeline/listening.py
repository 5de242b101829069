"""What comes out: a motion, and the frames that are drawn from it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lhg_jax import media
from lhg_jax.motion import Motion
from lhg_jax.pipeline.source import Source
from lhg_jax.pipeline.timeline import Timeline
from lhg_jax.util.errors import UserError

Image = UInt8[np.ndarray, "height width 3"]
Whole = UInt8[np.ndarray, "height2 width2 3"]  # a portrait before it is made small enough to draw


@dataclasses.dataclass(frozen=True)
class Listening:
    """A listener who is ready to be drawn.

    Attributes:
      motion: of the listener, 30 frames/s.
      timeline: when each frame is shown.
      seconds: spent in each stage so far; drawing adds to it.
      source: the speaker; None for a motion without one.
      draw: makes the frames of these numbers; `frames` is the way to it.
    """

    motion: Motion
    timeline: Timeline
    seconds: Mapping[str, float]
    source: Source | None
    draw: Callable[[np.ndarray], Iterator[Any]] = dataclasses.field(repr=False)

    @property
    def times_s(self) -> np.ndarray:
        """When each frame is shown, from the start."""
        return self.timeline.starts_s

    def frames(self) -> Iterator[Image]:
        """RGB images, one for each of `times_s`, drawn one after another: none is kept."""
        return self.draw(np.arange(len(self.times_s)))

    def preview(self, pictures: Sequence[Path]) -> None:
        """Writes single frames, spread evenly over the clip, as pictures.

        Args:
          pictures: files to write, in the order of the frames.

        Raises:
          UserError: the clip has fewer frames, or a file cannot be written.
        """
        frames = len(self.times_s)
        if len(pictures) > frames:
            raise UserError(f"--preview {len(pictures)}: the clip has {frames} frames")
        chosen = ((np.arange(len(pictures)) + 0.5) * frames / len(pictures)).astype(int)
        for path, image in zip(pictures, self.draw(chosen), strict=True):
            media.write_image(path, image)

    def save(self, output: str | Path, side_by_side: str | Path | None = None) -> None:
        """Writes a video with the speaker's sound.

        Args:
          output: the listener alone, .mp4.
          side_by_side: a second video, the speaker on the left.

        Raises:
          UserError: a file cannot be written, or there is no video of the speaker to stand beside.
        """
        outputs = [Path(path) for path in (output, side_by_side) if path is not None]
        rows = self._pairs() if side_by_side is not None else ((image,) for image in self.frames())
        first = next(rows)  # its size is the video's
        with ExitStack() as stack:
            writers = [
                stack.enter_context(self._writer(path, image))
                for path, image in zip(outputs, first, strict=True)
            ]
            for row in itertools.chain([first], rows):
                for writer, image in zip(writers, row, strict=True):
                    writer.write(image)

    def _pairs(self) -> Iterator[tuple[Image, Image]]:
        """(listener, speaker and listener) of each frame."""
        if self.source is None or not self.source.has_video:
            name = self.source.name if self.source else "side by side"
            raise UserError(f"{name}: --side-by-side needs a video of the speaker")
        for image, frame in zip(self.frames(), self.source.frames(), strict=False):
            yield image, media.side_by_side(frame.image, image)

    def _writer(self, path: Path, image: Image) -> media.VideoWriter:
        height, width = image.shape[:2]
        sound = self.source.sound if self.source else {}
        return media.VideoWriter(
            path, width, height, self.timeline.starts_s, end_s=self.timeline.end_s, **sound
        )
