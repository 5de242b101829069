"""Pictures of what the listener does, made in the background while training goes on: curves and frames."""

import concurrent.futures
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.motion import FRAME_RATE, LANDMARK, CoefficientSpace
from lhg_jax.training.logs import NoWriter
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import warn

Image = UInt8[np.ndarray, "height width 3"]
Values = Float[np.ndarray, "frames coeff"]
SHEET_FRAMES = 8


class Samples:
    """Draws predicted and true motion of one clip: in TensorBoard, and as `samples/step_N.mp4`.

    Needs matplotlib for the curves and the extra `pipeline` for the frames; what cannot be drawn is said once
    and left out. One picture is made at a time, and a step that comes meanwhile gets none.
    """

    def __init__(self, workdir: Path, writer: NoWriter):
        self._folder, self._writer = workdir / "samples", writer
        self._render: Callable[[Values], Iterator[Image]] | None = None
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._work: concurrent.futures.Future | None = None
        self._said: set[str] = set()

    def __enter__(self) -> "Samples":
        return self

    def __exit__(self, *_: Any) -> None:
        """Waits for the picture in progress."""
        self._pool.shutdown()
        if self._work and (error := self._work.exception()):
            warn(f"sample clip: {error!r}")

    def show(self, step: int, predicted: Values, target: Values, space: CoefficientSpace) -> None:
        """Starts to draw the motions after `step` steps; process 0 alone does."""
        if jax.process_index() == 0 and (self._work is None or self._work.done()):
            self._work = self._pool.submit(self._draw, step, predicted, target, space)

    def _draw(self, step: int, predicted: Values, target: Values, space: CoefficientSpace) -> None:
        tasks = {"curves": self._draw_curves, "frames": self._draw_frames}
        for name, draw in tasks.items():
            try:
                draw(step, predicted, target, space)
            except (ImportError, UserError) as error:
                if name not in self._said:
                    warn(f"no {name} of sample clips: {error}")
                self._said.add(name)

    def _draw_curves(self, step: int, predicted: Values, target: Values, space: CoefficientSpace) -> None:
        self._writer.image(step, "sample/curves", curves(predicted, target, space))

    def _draw_frames(self, step: int, predicted: Values, target: Values, space: CoefficientSpace) -> None:
        from lhg_jax.media import VideoWriter

        if space != LANDMARK:
            raise UserError(f"no renderer for space {space.name!r}")
        if self._render is None:
            self._render = portrait_renderer()
        frames = [
            np.concatenate(pair, axis=1) for pair in zip(*map(self._render, (predicted, target)), strict=True)
        ]
        chosen = np.linspace(0, len(frames) - 1, SHEET_FRAMES).astype(int)
        self._writer.image(step, "sample/frames", np.concatenate([frames[i] for i in chosen], axis=0))
        height, width = frames[0].shape[:2]
        path = self._folder / f"step_{step:06d}.mp4"
        with VideoWriter(path, width, height, np.arange(len(frames)) / FRAME_RATE) as video:
            for frame in frames:
                video.write(frame)


def portrait_renderer() -> Callable[[Values], Iterator[Image]]:
    """Motion -> frames of the demo's portrait, moved from where that motion begins."""
    from skimage import data

    from lhg_jax.demo import LISTENER_CROP
    from lhg_jax.faces import get_tracker
    from lhg_jax.render import load_renderer

    image = data.astronaut()[LISTENER_CROP]
    fit = get_tracker(LANDMARK).track_image(image)
    renderer = load_renderer("mesh")(image, fit)
    return lambda values: renderer.render(values - values[:1] + np.asarray(fit.values, np.float32))


def curves(predicted: Values, target: Values, space: CoefficientSpace) -> Image:
    """Angles in degrees and the liveliest expression coefficients over time; dashed: the true listener."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    angle, exp = space.slice("angle"), space.slice("exp")
    lively = exp.start + np.argsort(-target[:, exp].std(axis=0))[:3]
    panels = {f"angle {i}, °": (angle.start + i, np.rad2deg(1)) for i in range(3)}
    panels |= {f"exp {i - exp.start}": (int(i), 1.0) for i in lively}
    figure = Figure(figsize=(8, 9), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    time_s = np.arange(len(target)) / FRAME_RATE
    for axes, (title, (column, unit)) in zip(
        figure.subplots(len(panels), sharex=True), panels.items(), strict=True
    ):
        axes.plot(time_s, predicted[:, column] * unit)
        axes.plot(time_s, target[:, column] * unit, "--")
        axes.set_ylabel(title)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
