"""Identity: does the predicted face stay the person? Cosine similarity of face embeddings.

`csim_dlib` uses dlib's embedding of the aligned face, which the package has. The official CSIM squeezes whole
frames into ArcFace r100, whose weights cannot be shipped: it is another number under another name (`csim`).
"""

import itertools
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from lhg_jax import face_model
from lhg_jax.face_model import FaceAnchor
from lhg_jax.faces import identity
from lhg_jax.media import Frame
from lhg_jax.motion import Motion

STRIDE = 15  # frames; identity does not change from frame to frame, and an embedding costs 0.1 s


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
