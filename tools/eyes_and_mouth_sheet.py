"""A contact sheet of the mesh renderer's eyes and mouths: half-closed, closed, smile, laugh, open, pressed.

    python tools/eyes_and_mouth_sheet.py [PORTRAIT...] [--output docs/images/eyes_and_mouth.png]

Without portraits, two photographs in the public domain that come with scikit-image and matplotlib.
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import tyro
from PIL import Image

from lhg_jax import media
from lhg_jax.face_model import action
from lhg_jax.faces.landmark import LandmarkTracker
from lhg_jax.render.mesh.renderer import MeshRenderer

COLUMNS: list[dict[str, float]] = [{}, {"blink": 0.35}, {"blink": 0.6}, {"blink": 1.0}, {"smile": 1.0}]
COLUMNS += [
    {"smile": 1.0, "jaw_open": 0.4},
    {"jaw_open": 0.4},
    {"jaw_open": 1.0},
    {"jaw_open": -0.5, "lip_press": 0.6},
]
CUT = np.array([[-1.25, -1.15], [1.25, 1.6]])  # around the nose, distances between the eyes
CELL = 160, 176  # pixels


@dataclasses.dataclass(frozen=True)
class Options:
    """Which portraits, and where the sheet goes."""

    portraits: tyro.conf.Positional[list[Path]] = dataclasses.field(default_factory=list)
    output: Path = Path("docs/images/eyes_and_mouth.png")


def public_portraits() -> list[np.ndarray]:
    """Eileen Collins and Grace Hopper."""
    import matplotlib.cbook
    import skimage.data

    hopper = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return [skimage.data.astronaut(), media.read_image(Path(hopper))]


def row(portrait: np.ndarray) -> np.ndarray:
    """The face in every state, side by side."""
    fit = LandmarkTracker().track_image(portrait)
    values = np.tile(np.asarray(fit.values, np.float64), (len(COLUMNS), 1))
    for state, actions in zip(values, COLUMNS, strict=True):
        state[:64] += sum(amount * action(name) for name, amount in actions.items())
    unit = np.linalg.norm(fit.landmarks[36:42].mean(0) - fit.landmarks[42:48].mean(0))
    (left, top), (right, bottom) = np.maximum(fit.landmarks[27:36].mean(0) + unit * CUT, 0).astype(int)
    frames = MeshRenderer(portrait, fit).render(values)
    method = cv2.INTER_AREA if right - left > CELL[0] else cv2.INTER_CUBIC
    return np.hstack([cv2.resize(f[top:bottom, left:right], CELL, interpolation=method) for f in frames])


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    portraits = [media.read_image(path) for path in options.portraits] or public_portraits()
    Image.fromarray(np.vstack([row(portrait) for portrait in portraits])).save(options.output)


if __name__ == "__main__":
    main()
