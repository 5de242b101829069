"""Self-reenactment: one frame of a clip moved by the clip's own motion, compared with the real frames.

    python tools/bench/reenact.py VIDEO... [--frames 40] [--cache FOLDER] [--sheets FOLDER]

The portrait is the clip's first frame, and once more a frame with open eyes and a shut mouth ("calm"). The
mesh renderer draws it with the motion tracked in the clip; beside it stand the unmoved portrait ("still")
and the portrait under one similarity transform a frame, fitted to the same motion ("affine"). All are
compared at `UNIT` pixels between the eyes, or at the clip's own size where that is smaller:

  SSIM, PSNR   of the head (an ellipse), the eyes and the mouth (boxes) in the real frame; of the whole frame
  NME          mean distance of the 68 landmarks found in the drawn frame from those in the real one, % of
               the distance between the eyes
  identity     share of drawn frames at a distance up to 0.4 from the portrait (dlib's embedding)
  background   mean change from the portrait beside and above the head, grey levels
  lid          where the real eye is shut: CIE 2000 difference from the real lid, ratio of gradient energies
"""

import collections
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import tyro
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from lhg_jax import media
from lhg_jax.face_model import FaceAnchor, project
from lhg_jax.faces import alignment, identity, tracking_result
from lhg_jax.faces.face_tracking import Detections, follow
from lhg_jax.faces.landmark import fit_clip
from lhg_jax.motion import LANDMARK
from lhg_jax.render.mesh.renderer import MeshRenderer

UNIT = 64.0  # pixels between the eyes
HEAD_AXES = 1.45, 2.1  # semi-axes of the head's ellipse, interocular distances
HEAD_RISE = 0.15  # from the eyes up to its middle
BEYOND = 1.3  # of the ellipse: from there on is background
EYES, MOUTH = (slice(36, 42), slice(42, 48)), slice(48, 68)
SHUT = 0.2  # height over width below which dlib's outline is that of a shut eye
EMBED_EVERY = 4  # frames


@dataclasses.dataclass(frozen=True)
class Options:
    """Which clips, how many frames of each, and where to keep things."""

    videos: tyro.conf.Positional[list[Path]]
    frames: int = 40
    cache: Path | None = None
    """Folder of landmarks found before: tracking takes longest."""
    drawn: tuple[str, ...] = ("still", "affine", "mesh")
    """Which of the three to score."""
    sheets: Path | None = None
    """Folder for contact sheets; rows: real, mesh, affine."""


@dataclasses.dataclass(frozen=True)
class Clip:
    """Some frames of a clip that show the face, and the clip's motion at their times.

    Attributes:
      images: [height, width, 3] RGB each.
      landmarks: [frames, 68, 2] pixels.
      values: [frames, 70], motion.LANDMARK.
      anchor: whose face.
    """

    images: list[np.ndarray]
    landmarks: np.ndarray
    values: np.ndarray
    anchor: FaceAnchor

    def calmest(self) -> int:
        """The frame whose eyes are widest open and whose mouth is shut."""
        gap = np.linalg.norm(self.landmarks[:, 66] - self.landmarks[:, 62], axis=-1)
        width = np.linalg.norm(self.landmarks[:, 54] - self.landmarks[:, 48], axis=-1)
        return int(np.argmax(sum(openness(self.landmarks, eye) for eye in EYES) - 2 * gap / width))


@dataclasses.dataclass(frozen=True)
class Fit:
    """One frame of a clip as the renderer's portrait."""

    values: np.ndarray
    anchor: FaceAnchor
    landmarks: np.ndarray


def track(video: Path, cache: Path | None) -> Detections:
    """The face through the clip, from the cache if it is there."""
    file = cache / f"{video.stem}.npz" if cache else None
    if file and file.exists():
        with np.load(file) as arrays:
            return Detections(**{name: array[()] for name, array in arrays.items()})
    sightings = follow(media.read_frames(video))
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **vars(sightings))
    return sightings


def read_clip(video: Path, sightings: Detections, count: int) -> Clip:
    """`count` frames, evenly spread over those that show the face."""
    values, anchor = fit_clip(sightings.landmarks.astype(np.float64))
    motion = tracking_result.to_motion(LANDMARK, values, sightings)
    seen = np.flatnonzero(sightings.seen)
    picked = np.unique(np.linspace(0, len(seen) - 1, count).astype(int))
    wanted = set(seen[picked].tolist())
    images = [frame.image for i, frame in enumerate(media.read_frames(video)) if i in wanted]
    at_times = motion.at_times(sightings.centres_s[seen[picked]]).astype(np.float64)
    return Clip(images, sightings.landmarks[picked].astype(np.float64), at_times, anchor)


def openness(landmarks: np.ndarray, eye: slice) -> np.ndarray:
    """Height over width of an eye's outline: [frames]."""
    x, y = landmarks[:, eye, 0], landmarks[:, eye, 1]
    return (y[:, 4:].mean(1) - y[:, 1:3].mean(1)) / np.hypot(x[:, 3] - x[:, 0], y[:, 3] - y[:, 0])


def unit_of(landmarks: np.ndarray) -> float:
    """The distance between the eyes, pixels."""
    return float(np.linalg.norm(landmarks[36:42].mean(0) - landmarks[42:48].mean(0)))


def affine_frames(clip: Clip, portrait: int) -> Iterable[np.ndarray]:
    """The portrait under the similarity transform from its modelled landmarks to each frame's."""
    landmarks = project(clip.anchor, clip.values)
    image, source = clip.images[portrait], landmarks[portrait]
    a = source - source.mean(0)
    for target in landmarks:
        b = target - target.mean(0)
        turn = np.array([(a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()]) / (a**2).sum()
        matrix = np.array([[turn[0], -turn[1]], [turn[1], turn[0]]])
        affine = np.column_stack([matrix, target.mean(0) - matrix @ source.mean(0)])
        size = image.shape[1::-1]
        yield cv2.warpAffine(image, affine, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def head_mask(landmarks: np.ndarray, shape: tuple[int, ...], grow: float = 1.0) -> np.ndarray:
    """The head's ellipse: [height, width] bool."""
    down = landmarks[8] - landmarks[27]
    centre = landmarks[36:48].mean(0) - HEAD_RISE * unit_of(landmarks) * down / np.linalg.norm(down)
    axes = [round(grow * axis * unit_of(landmarks)) for axis in HEAD_AXES]
    mask = np.zeros(shape[:2], np.uint8)
    turn = float(np.degrees(np.arctan2(down[1], down[0])) - 90)
    cv2.ellipse(mask, [round(float(x)) for x in centre], axes, turn, 0, 360, 1, -1)
    return mask.astype(bool)


def box_mask(points: np.ndarray, margin: float, shape: tuple[int, ...]) -> np.ndarray:
    """The box around points, wider by `margin` pixels: [height, width] bool."""
    low, high = points.min(0) - margin, points.max(0) + margin
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])


def find_landmarks(image: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The landmarks in an image whose face lies about where `near` is."""
    side = alignment.BOX_IN_IODS * unit_of(near)
    middle = near.mean(0) - [0, alignment.BOX_BELOW_MEAN * side]
    return alignment.align(image, np.concatenate([middle - side / 2, middle + side / 2]), alignment.FRAME)


def likeness(drawn: np.ndarray, real: np.ndarray, landmarks: np.ndarray) -> dict[str, float]:
    """SSIM and PSNR of the regions, at the common size."""
    scale = min(1.0, UNIT / unit_of(landmarks))
    a, b = (cv2.resize(x, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for x in (drawn, real))
    points, margin = landmarks * scale, 0.2 * unit_of(landmarks) * scale
    eyes = [box_mask(points[eye], margin, a.shape) for eye in EYES]
    regions = {
        "frame": np.ones(a.shape[:2], bool),
        "head": head_mask(points, a.shape),
        "eyes": eyes[0] | eyes[1],
        "mouth": box_mask(points[MOUTH], margin, a.shape),
    }
    similarity = structural_similarity(a, b, channel_axis=2, gaussian_weights=True, full=True)[1].mean(2)
    squares = np.square(a.astype(np.float64) - b).mean(2)
    scores = {f"SSIM {name}": float(similarity[mask].mean()) for name, mask in regions.items()}
    for name, mask in regions.items():
        scores[f"PSNR {name}"] = float(10 * np.log10(255**2 / (squares[mask].mean() + 1e-3)))
    return scores


def background_change(drawn: np.ndarray, portrait: np.ndarray, poses: Iterable[np.ndarray]) -> float:
    """Mean absolute change above the chins and outside of the heads of all `poses`, grey levels."""
    away = np.ones(portrait.shape[:2], bool)
    for landmarks in poses:
        away &= ~head_mask(landmarks, portrait.shape, BEYOND)
        away[max(0, int(landmarks[8, 1])) :] = False
    difference = cv2.absdiff(drawn, portrait).mean(2)
    return float(difference[away].mean()) if away.any() else np.nan


def lid_scores(drawn: np.ndarray, real: np.ndarray, landmarks: np.ndarray) -> dict[str, float]:
    """Colour difference and ratio of gradient energies of shut upper lids, from crease to lashes."""
    unit, scores = unit_of(landmarks), collections.defaultdict(list)
    for eye in EYES:
        if openness(landmarks[None], eye)[0] > SHUT:
            continue
        top = landmarks[eye][[1, 2], 1].mean()
        left, right = landmarks[eye, 0].min() + 0.08 * unit, landmarks[eye, 0].max() - 0.08 * unit
        part = np.s_[int(top - 0.1 * unit) : int(top - 0.01 * unit) + 1, int(left) : int(right) + 1]
        labs = [rgb2lab(cv2.blur(image[part], (3, 3))) for image in (drawn, real)]
        energies = [np.square(np.gradient(lab[..., 0])).mean() for lab in labs]
        scores["lid dE"].append(np.median(deltaE_ciede2000(*labs)))
        scores["lid texture"].append(energies[0] / max(energies[1], 1e-3))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def score(frames: Iterable[np.ndarray], clip: Clip, portrait: int) -> dict[str, float]:
    """Means over the clip's frames (medians of the lids' scores) of one way to draw them."""
    columns = collections.defaultdict(list)
    reference = identity.embed(clip.images[portrait], clip.landmarks[portrait])
    for i, (drawn, real, landmarks) in enumerate(zip(frames, clip.images, clip.landmarks, strict=True)):
        found = find_landmarks(drawn, landmarks)
        rows = likeness(drawn, real, landmarks) | lid_scores(drawn, real, landmarks)
        rows["NME %"] = 100 * float(np.linalg.norm(found - landmarks, axis=1).mean()) / unit_of(landmarks)
        poses = clip.landmarks[portrait], landmarks
        rows["background"] = background_change(drawn, clip.images[portrait], poses)
        if i % EMBED_EVERY == 0:
            rows["identity"] = float(identity.distance(identity.embed(drawn, found), reference) <= 0.4)
        for name, value in rows.items():
            columns[name].append(value)
    return {n: float((np.nanmedian if "lid" in n else np.nanmean)(v)) for n, v in columns.items()}


def write_sheet(path: Path, rows: list[list[np.ndarray]], width: int = 220) -> None:
    """Frames side by side, one row for each way to draw them."""
    shown = np.linspace(0, len(rows[0]) - 1, 8).astype(int)
    height = round(width * rows[0][0].shape[0] / rows[0][0].shape[1])
    small = [
        [cv2.resize(row[i], (width, height), interpolation=cv2.INTER_AREA) for i in shown] for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack([np.hstack(row) for row in small])[..., ::-1])


COLUMNS = ["SSIM head", "SSIM eyes", "SSIM mouth", "SSIM frame", "PSNR head", "PSNR frame", "NME %"]
COLUMNS += ["identity", "background", "lid dE", "lid texture"]


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    print("| clip, portrait | drawn | " + " | ".join(COLUMNS) + " | ms/frame |")
    print("|---|---|" + "---|" * (len(COLUMNS) + 1))
    for video in options.videos:
        clip = read_clip(video, track(video, options.cache), options.frames)
        for name, portrait in {"first": 0, "calm": clip.calmest()}.items():
            fit = Fit(clip.values[portrait], clip.anchor, clip.landmarks[portrait])
            renderer = MeshRenderer(clip.images[portrait], fit)
            start = time.process_time()
            mesh = list(renderer.render(clip.values))
            spent_ms = 1e3 * (time.process_time() - start) / len(mesh)
            affine = list(affine_frames(clip, portrait))
            still = [clip.images[portrait]] * len(mesh)
            ways = {"still": still, "affine": affine, "mesh": mesh}
            for drawn in options.drawn:
                scores = score(ways[drawn], clip, portrait)
                cells = [f"{scores[c]:.3f}" if c in scores else "–" for c in COLUMNS]
                cells.append(f"{spent_ms:.1f}" if drawn == "mesh" else "")
                print(f"| {video.stem}, {name} | {drawn} | " + " | ".join(cells) + " |", flush=True)
            if options.sheets:
                write_sheet(options.sheets / f"{video.stem}_{name}.png", [clip.images, mesh, affine])


if __name__ == "__main__":
    main()
