"""The mesh renderer on one core: processor time of a frame, and that of an earlier commit's in turns with it.

    python tools/bench/mesh_renderer.py FACE... [--against COMMIT] [--frames 24] [--rounds 5]

FACE is a picture, or a video whose first frame is taken; PATH@SIZE makes it SIZE pixels high first. The
frames turn by up to 12 degrees, smile and blink. The earlier commit's package is taken out of git under a
name of its own, so both run in one process and load hits both; the largest difference between their frames
says whether they draw the same.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import dataclasses
import importlib
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import tyro

from lhg_jax.face_model import action
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.media import read_frames, read_image
from lhg_jax.render.mesh import renderer as today

ROOT = Path(__file__).resolve().parents[2]
PICTURES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which faces, and what to compare with."""

    faces: tyro.conf.Positional[list[str]]
    against: str | None = None
    """Commit whose renderer draws in turns with today's."""
    frames: int = 24
    rounds: int = 5


def picture(face: str) -> np.ndarray:
    """The picture that FACE names: [height, width, 3]."""
    name, _, size = face.partition("@")
    path = Path(name)
    image = read_image(path) if path.suffix in PICTURES else next(iter(read_frames(path))).image
    if not size:
        return image
    scale = int(size) / len(image)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (round(scale * image.shape[1]), int(size)), interpolation=way)


def motion_from(values: np.ndarray, frames: int) -> np.ndarray:
    """[frames, 70] from a portrait's values: turns about all axes, a smile that comes and goes, blinks."""
    t = np.linspace(0, 2, frames, endpoint=False)
    rows = np.tile(np.asarray(values, np.float64), (frames, 1))
    for axis, hertz in enumerate((0.7, 0.45, 0.55)):
        rows[:, 64 + axis] += np.radians(12) * np.sin(2 * np.pi * hertz * t + axis)
    smile = 0.5 - 0.5 * np.cos(np.pi * t)
    blink = np.exp(-np.square((t % 1 - 0.5) / 0.08))
    rows[:, :64] += smile[:, None] * action("smile") + blink[:, None] * action("blink")
    return rows


def package_of(commit: str, folder: Path) -> ModuleType:
    """The renderer's module of another commit."""
    name = f"lhg_at_{commit.translate(str.maketrans('~^/-.', '_____'))}"
    archive = subprocess.run(
        ["git", "archive", commit, "lhg_jax"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    (folder / "lhg_jax").rename(folder / name)
    for source in (folder / name).rglob("*.py"):
        source.write_text(source.read_text().replace("lhg_jax", name))
    sys.path.insert(0, str(folder))
    return importlib.import_module(f"{name}.render.mesh.renderer")


def drawer(module: ModuleType, portrait: np.ndarray, fit, rows: np.ndarray) -> Callable[[], list[np.ndarray]]:
    """A function that draws all frames."""
    mesh = module.MeshRenderer(portrait, fit)
    return lambda: list(mesh.render(rows))


def milliseconds(draw: Callable[[], list[np.ndarray]], frames: int) -> float:
    """Processor time of a frame."""
    start = time.process_time()
    draw()
    return 1e3 * (time.process_time() - start) / frames


def measure(face: str, earlier: ModuleType | None, options: Options) -> list[str]:
    """The cells of one row."""
    portrait = picture(face)
    fit = LandmarkTracker().track_image(portrait)
    rows = motion_from(fit.values, options.frames)
    modules = [today] + ([earlier] if earlier else [])
    drawers = [drawer(module, portrait, fit, rows) for module in modules]
    frames = [draw() for draw in drawers]
    pairs = [[milliseconds(draw, len(rows)) for draw in drawers] for _ in range(options.rounds)]
    now = statistics.median(pair[0] for pair in pairs)
    cells = [f"{portrait.shape[1]} x {portrait.shape[0]}", f"{now:.2f}", f"{1e3 / now:.0f}"]
    if earlier:
        ratios = sorted(a / b for a, b in pairs)
        apart = max(int(cv2.absdiff(a, b).max()) for a, b in zip(*frames, strict=True))
        cells += [f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", str(apart)]
    return cells


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    cv2.setNumThreads(1)
    columns = ["face", "pixels", "ms/frame", "frames/s of one core"]
    with tempfile.TemporaryDirectory() as folder:
        earlier = package_of(options.against, Path(folder)) if options.against else None
        columns += [f"time / {options.against}'s", "apart, grey levels"] if earlier else []
        print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
        for face in options.faces:
            cells = measure(face, earlier, options)
            print(f"| {Path(face).name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
