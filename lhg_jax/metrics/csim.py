"""Identity: does the predicted face stay the person? Cosine similarity of face embeddings.

`csim` is the official one: whole frames, not aligned, squeezed into ArcFace r100, whose weights cannot be
shipped. `csim_dlib` uses dlib's embedding of the aligned face, which the package has: another number under
another name.
"""

import functools
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from lhg_jax import face_model
from lhg_jax.face_model import FaceAnchor
from lhg_jax.faces import identity
from lhg_jax.media import Frame
from lhg_jax.motion import Motion
from lhg_jax.util import interop

ARCFACE_SIDE = 112  # pixels a side that ArcFace sees
STRIDE = 15  # frames; identity does not change from frame to frame, and an embedding costs 0.1 s


Frames = UInt8[np.ndarray, "frames height width 3"]


@functools.cache
def arcface(path: Path) -> interop.ExternalNetwork:
    """The network exported by `python -m lhg_exporters arcface`, read once a process."""
    return interop.load_as(path, ["embedding"], image=(1, 3, ARCFACE_SIDE, ARCFACE_SIDE))


def weights_of(network: interop.ExternalNetwork) -> str:
    """Which weights these are: numbers of different trainings cannot be compared."""
    source = network.metadata.get("source", network.name)
    return f"{source}; weights {network.metadata.get('weights_sha256', 'not named')[:12]}"


def arcface_embeddings(network: interop.ExternalNetwork, images: Frames) -> Float[np.ndarray, "frames size"]:
    """Embeddings of whole RGB frames: bilinear to 112 x 112 without antialiasing, in bytes, then [-1, 1]."""
    import cv2

    side = ARCFACE_SIDE, ARCFACE_SIDE
    small = np.stack([cv2.resize(image, side, interpolation=cv2.INTER_LINEAR) for image in images])
    pixels = np.ascontiguousarray(small.transpose(0, 3, 1, 2), np.float32)
    return network(image=(pixels / 255 - 0.5) / 0.5)["embedding"]


def embeddings(
    frames: Iterable[Frame], motion: Motion, anchor: FaceAnchor, stride: int = STRIDE
) -> Float[np.ndarray, "samples 128"]:
    """Embeddings of every `stride`-th frame, the face being where its tracked motion puts it."""
    found = []
    for frame in itertools.islice(frames, 0, None, stride):
        # A frame shows the motion from its own time on; half a frame of motion later is its middle.
        values = motion.at_times([frame.time_s + 0.5 / motion.fps])[0]
        found.append(identity.embed(frame.image, face_model.project(anchor, values)))
    return np.stack(found)


def cosine(
    a: Float[np.ndarray, "samples size"], b: Float[np.ndarray, "samples size"]
) -> Float[np.ndarray, "samples"]:
    """Cosine similarity row by row, in [-1, 1]."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(norms, 1e-8)
