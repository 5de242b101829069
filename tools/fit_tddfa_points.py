"""Fits the map from 3DDFA_V2's coefficients to the landmark tracker's 68 points.

    python tools/fit_tddfa_points.py --tracker-weights tddfa.onnx --videos CLIP... --portraits FACE... \\
        --output lhg_jax/assets/tddfa_points.safetensors [--others CLIP...]

Teachers are dlib's landmarks on each face and its mirror image, in crops that are moved a little at random.
Each face counts alike. Printed are root mean squares in interocular distances: of each face when it is left
out, and of `--others`, which take no part. The package's map is of faces that may be passed on: address_man,
grid_man and webcam_woman of the test clips, skimage's astronaut, and the demo's portrait.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lhg_jax import media
from lhg_jax.face_model import MIRROR, TEMPLATE
from lhg_jax.faces import alignment, detection, tddfa
from lhg_jax.faces.face_tracking import follow, largest
from lhg_jax.faces.network import load_network
from lhg_jax.faces.tddfa import TddfaNetwork
from lhg_jax.faces.tddfa_points import cameras, face_columns, project
from lhg_jax.weights import save_weights

SECONDS, FRAMES = 6.0, 60  # of each clip
MOVE, GROW = 0.03, 0.04  # standard deviations of a crop's place and size, in sides
RIDGE = {"mean": 1e-2, "shape": 0.1, "expression": 1e-2}  # best of a few; see docs/weights.md
DECIMETRE = 0.62  # of an interocular distance
PARTS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}


class Face(NamedTuple):
    """What was seen of one face: crops' parameters and regions, and dlib's landmarks, pixels."""

    parameters: np.ndarray
    standardised: np.ndarray
    regions: np.ndarray
    landmarks: np.ndarray


def sightings(path: Path, video: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(image, landmarks)."""
    if not video:
        image = media.read_image(path)
        box = largest(detection.find_faces(image, detection.still_sides(image)))
        assert box is not None, f"{path}: no face"
        yield image, alignment.align(image, box, alignment.STILL)
        return
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    frames = itertools.takewhile(lambda frame: frame.time_s < SECONDS, media.read_frames(path))
    follow(frames, on_face=lambda image, landmarks: seen.append((image, landmarks)))
    yield from seen[:: max(1, len(seen) // FRAMES)]


def answer(network: TddfaNetwork, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parameters of a crop, and the same standardised."""
    found = network.answers(crop[None])
    return found["parameters"][0], found["standardised"][0]


def measure(path: Path, video: bool, network: TddfaNetwork, rng: np.random.Generator) -> Face:
    """One face and its mirror image."""
    rows = []
    for image, landmarks in sightings(path, video):
        mirrored = landmarks[MIRROR] * [-1, 1] + [image.shape[1] - 1, 0]
        for picture, points in ((image, landmarks), (np.ascontiguousarray(image[:, ::-1]), mirrored)):
            region = tddfa.landmark_region(points)
            side, grow = region[2] - region[0], rng.normal(0, GROW)
            region = np.round(
                region + side * (np.tile(rng.normal(0, MOVE, 2), 2) + np.repeat([-grow, grow], 2))
            )
            rows.append((*answer(network, tddfa.crop(picture, region)), region, points))
    print(f"{path.name}: {len(rows)} pictures", flush=True)
    return Face(*(np.stack(column) for column in zip(*rows, strict=True)))


class Units(NamedTuple):
    """Mean and standard deviation of the columns among people, by 3DDFA_V2; the 1 stays as it is."""

    mean: np.ndarray
    spread: np.ndarray


def units(faces: list[Face]) -> Units:
    plain, standard = (
        np.concatenate([face_columns(getattr(face, name)) for face in faces])
        for name in ("parameters", "standardised")
    )
    spread = np.ones(plain.shape[1])
    spread[1:] = plain[:, 1:].std(axis=0) / standard[:, 1:].std(axis=0)
    mean = (plain - standard * spread).mean(axis=0)
    return Units(mean, spread)


def fit(faces: list[Face], unit: Units, ridge: dict[str, float], base: np.ndarray) -> np.ndarray:
    """The basis in these units: ridge regression of each point, towards `base` [68, 3] for the mean face."""
    columns = len(unit.mean)
    normal, right = np.zeros((3 * columns, 3 * columns)), np.zeros((68, 3 * columns))
    for face in faces:
        turn, origin = cameras(face.parameters, face.regions)
        weight = 1 / len(turn) / np.mean(np.linalg.norm(turn, axis=2)) ** 2
        values = (face_columns(face.parameters) - unit.mean) / unit.spread
        design = (turn[..., None] * values[:, None, None]).reshape(len(turn), 2, -1)
        normal += weight * np.einsum("nai,naj->ij", design, design)
        right += weight * np.einsum("nai,npa->pi", design, face.landmarks - origin[:, None])
    penalty = np.concatenate([[ridge["mean"]], np.full(40, ridge["shape"]), np.full(10, ridge["expression"])])
    penalty = len(faces) * np.tile(penalty, 3)
    prior = np.zeros((68, 3, columns))
    prior[..., 0] = base
    found = np.linalg.solve(normal + np.diag(penalty), (right + penalty * prior.reshape(68, -1)).T).T
    return found.reshape(68, 3, columns)


def fit_basis(faces: list[Face]) -> np.ndarray:
    """The basis, with the template's depth where turns do not show it."""
    unit, template = units(faces), TEMPLATE * [1, -1, -1] * DECIMETRE
    still = fit(faces, unit, {"mean": 1e-6, "shape": 1e9, "expression": 1e9}, template)
    moved = still[..., 0].mean(axis=0) - template.mean(axis=0)  # the model's origin is not the template's
    basis = fit(faces, unit, RIDGE, template + moved) / unit.spread
    basis[..., 0] -= basis[..., 1:] @ unit.mean[1:]
    return basis


def errors(basis: np.ndarray, face: Face) -> np.ndarray:
    """Root mean square of each part of the face, interocular distances."""
    left, right = (face.landmarks[:, part].mean(axis=1) for part in (slice(36, 42), slice(42, 48)))
    apart = project(basis, face.parameters, face.regions) - face.landmarks
    apart = apart / np.linalg.norm(left - right, axis=1)[:, None, None]
    return np.array([np.sqrt((apart[:, a:b] ** 2).sum(axis=2).mean()) for a, b in PARTS.values()])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracker-weights", type=Path, required=True)
    parser.add_argument("--videos", type=Path, nargs="+", default=[])
    parser.add_argument("--portraits", type=Path, nargs="+", default=[])
    parser.add_argument("--others", type=Path, nargs="+", default=[])
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    network, rng = (
        TddfaNetwork(load_network(args.tracker_weights, tddfa.SIDE, "parameters")),
        np.random.default_rng(0),
    )
    learned = {path.name: measure(path, True, network, rng) for path in args.videos}
    learned |= {path.name: measure(path, False, network, rng) for path in args.portraits}
    other = {path.name: measure(path, True, network, rng) for path in args.others}
    basis = fit_basis(list(learned.values()))
    save_weights(args.output, {"basis": basis.astype(np.float32)}, {"fitted on": ", ".join(learned)})
    for name, face in learned.items():
        rest = [other_face for other_name, other_face in learned.items() if other_name != name]
        show(f"left out: {name}", errors(fit_basis(rest), face))
    rows = {name: errors(basis, face) for name, face in other.items()}
    for name, row in rows.items():
        show(name, row)
    if rows:
        show("median of the others", np.median(list(rows.values()), axis=0))


def show(name: str, row: np.ndarray) -> None:
    """A line of `errors`."""
    print(f"{name:30}", *(f"{part} {x:.3f}" for part, x in zip(PARTS, row, strict=True)))


if __name__ == "__main__":
    main()
