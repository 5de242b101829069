"""Pictures of what the listener does, made in the background while training goes on."""

import concurrent.futures
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax.motion import FRAME_RATE, LANDMARK, CoefficientSpace, Motion
from lhg_jax.training.logs import MetricsWriter
from lhg_jax.util.errors import UserError
from lhg_jax.util.progress import say, warn

Image = UInt8[np.ndarray, "height width 3"]
Values = Float[np.ndarray, "frames coeff"]
# (video to write, predicted and true motion, their space) -> pictures of the liveliest moments
DrawFrames = Callable[[Path, Values, Values, CoefficientSpace], Image]
# Least half height of a panel: drift and noise smaller than this are not blown up to look like a nod.
LEAST_DEG, LEAST_ACTION, LEAST_EXP = 5.0, 0.25, 0.1


class SamplePictures:
    """Draws predicted and true motion of one clip: in TensorBoard, and as `samples/step_N.mp4`.

    One picture is made at a time; a step that comes meanwhile gets none, with a warning, but for the last one
    of the run, which waits. Curves need matplotlib; what cannot be drawn is said once and left out.
    """

    def __init__(self, workdir: Path, writer: MetricsWriter, draw_frames: DrawFrames | None):
        self._folder, self._writer, self._frames = workdir / "samples", writer, draw_frames
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._work: concurrent.futures.Future | None = None
        self._said: set[str] = set()

    def __enter__(self) -> "SamplePictures":
        return self

    def __exit__(self, *_: Any) -> None:
        """Waits for the picture in progress, and says so."""
        if self._work and not self._work.done():
            say("drawing the last pictures (nothing else is left to do)")
        self._finish()
        self._pool.shutdown()

    def show(
        self, step: int, predicted: Values, target: Values, space: CoefficientSpace, *, last: bool = False
    ) -> None:
        """Starts to draw the motions after `step` steps; process 0 alone does."""
        if jax.process_index():
            return
        if self._work and not self._work.done() and not last:
            warn(f"no picture of step {step}: the one before is still being drawn (train.sample_every)")
            return
        self._finish()
        self._work = self._pool.submit(self._draw, step, predicted, target, space)

    def _finish(self) -> None:
        """Waits for the picture in progress, and says what went wrong with it."""
        if self._work and (error := self._work.exception()):
            warn(f"sample clip: {error!r}")
        self._work = None

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
        self._writer.image(step, "sample/curves", curves(predicted, target, space, f"after {step} steps"))

    def _draw_frames(self, step: int, predicted: Values, target: Values, space: CoefficientSpace) -> None:
        if self._frames is not None:
            video = self._folder / f"step_{step:06d}.mp4"
            self._writer.image(step, "sample/frames", self._frames(video, predicted, target, space))


def curves(predicted: Values, target: Values, space: CoefficientSpace, title: str) -> Image:
    """Head angles and the face over time, the predicted listener and the true one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 9), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title)
    time_s = np.arange(len(target)) / FRAME_RATE
    ours, theirs = shown(predicted, space), shown(target, space)
    for axes, (name, least) in zip(figure.subplots(len(ours), sharex=True), panels(ours), strict=True):
        axes.plot(time_s, theirs[name], color="0.6", label="true listener")
        axes.plot(time_s, ours[name], color="tab:blue", label="predicted")
        axes.set_ylabel(name)
        middle = (max(theirs[name].max(), ours[name].max()) + min(theirs[name].min(), ours[name].min())) / 2
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, middle - least), max(high, middle + least))
        axes.grid(alpha=0.3)
    figure.align_ylabels()
    axes.set_xlabel("time, s")
    figure.axes[0].legend(loc="upper right", ncols=2)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def panels(rows: dict[str, np.ndarray]) -> list[tuple[str, float]]:
    """Name of each row, and the least half height of its panel in the row's unit."""
    least = {"°": LEAST_DEG, "share": LEAST_ACTION}
    return [(name, least.get(name.rpartition(", ")[2], LEAST_EXP)) for name in rows]


def shown(values: Values, space: CoefficientSpace) -> dict[str, np.ndarray]:
    """What people look at first: head angles, smile and blink; without them the liveliest coefficients."""
    angles = np.rad2deg(values[:, space.slice("angle")])
    rows = dict(zip(("pitch, °", "yaw, °", "roll, °"), angles.T, strict=True))
    if space == LANDMARK:
        from lhg_jax.simulator.rule_scores import controls

        actions = controls(Motion(space, values))
        return rows | {f"{name}, share": actions[name] for name in ("smile", "blink")}
    exp = values[:, space.slice("exp")]
    return rows | {f"expression {i}": exp[:, i] for i in range(3)}
