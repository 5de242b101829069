"""The README's pictures of the demo: a contact sheet and a short GIF, from the side-by-side video.

python tools/demo_pictures.py --video out/demo.mp4
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import tyro
from PIL import Image

from lhg_jax import media


@dataclasses.dataclass(frozen=True)
class Options:
    """Which video, and what to take from it."""

    video: Path = Path("out/demo.mp4")
    folder: Path = Path("docs/images")
    columns: int = 6
    rows: int = 3
    sheet_width: int = 250
    """Width of one picture of the sheet, pixels."""
    gif_start_s: float = 2.0
    gif_s: float = 5.0
    gif_fps: float = 10.0
    gif_width: int = 360


def scaled(image: np.ndarray, width: int) -> np.ndarray:
    height = round(image.shape[0] * width / image.shape[1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def main() -> None:
    options = tyro.cli(Options, prog="python tools/demo_pictures.py", description=__doc__)
    info = media.probe(options.video)
    wanted = np.linspace(0, info.frames - 1, options.columns * options.rows).astype(int)
    gif_times = options.gif_start_s + np.arange(round(options.gif_s * options.gif_fps)) / options.gif_fps
    sheet, gif = [], []
    for number, frame in enumerate(media.read_frames(options.video)):
        if number in wanted:
            sheet.append(scaled(frame.image, options.sheet_width))
        if len(gif) < len(gif_times) and frame.time_s >= gif_times[len(gif)]:
            gif.append(Image.fromarray(scaled(frame.image, options.gif_width)))
    rows = [np.hstack(sheet[i : i + options.columns]) for i in range(0, len(sheet), options.columns)]
    Image.fromarray(np.vstack(rows)).save(options.folder / "demo_sheet.png")
    palette = [image.quantize(96, dither=Image.Dither.NONE) for image in gif]
    path, duration_ms = options.folder / "demo.gif", 1000 / options.gif_fps
    palette[0].save(
        path, save_all=True, append_images=palette[1:], duration=duration_ms, loop=0, optimize=True
    )


if __name__ == "__main__":
    main()
