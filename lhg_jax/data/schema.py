"""Example: one dyad as the model sees it, and its form on disk (safetensors bytes, no pickles)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import flax.struct
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from lhg_jax.errors import UserError
from lhg_jax.features import SpeakerFeatures
from lhg_jax.motion import require_same_space

if TYPE_CHECKING:
    from lhg_jax.data.synthetic import Dyad
    from lhg_jax.speech.bert import BertEncoder

# Half precision on disk: steps of 0.06 dB at -80 dB, of 1e-3 in word vectors. Motion stays float32.
HALF = ("log_mel", "mfcc", "word_table")
FIELDS = ("log_mel", "mfcc", "word_table", "word_of_frame", "motion", "has_motion", "valid")


@flax.struct.dataclass
class Example:
    """One clip (no leading axis) or a batch of crops (leading axis B).

    Attributes:
      features: what the speaker says and does.
      target: [..., T, C] float32 listener coefficients; frame 0 is the reference that the model is given.
      index: [...] int32 position of the clip in its source, -1 for a clip that only fills up a batch.
    """

    features: SpeakerFeatures
    target: Any
    index: Any


Batch = Example


def stack(examples: Sequence[Example]) -> Batch:
    """Examples of equal shapes -> batch with leading axis B."""
    import jax

    return jax.tree.map(lambda *leaves: np.stack(leaves), *examples)


def encode(example: Example, uuid: str) -> bytes:
    """Example -> bytes; `index` is left out, for it is the place in the file."""
    arrays = {name: np.asarray(getattr(example.features, name)) for name in FIELDS}
    arrays["target"] = np.asarray(example.target)
    arrays["uuid"] = np.frombuffer(uuid.encode(), np.uint8)
    for name in HALF:
        arrays[name] = arrays[name].astype(np.float16)
    return save_tensors({name: np.asarray(array, order="C") for name, array in arrays.items()})


def decode(record: bytes, index: int) -> Example:
    """Bytes -> example, all floats float32. Raises `UserError` for anything that `encode` did not write."""
    arrays = _load(record, index)
    for name in HALF:
        arrays[name] = arrays[name].astype(np.float32)
    features = SpeakerFeatures(**{name: arrays[name] for name in FIELDS})
    return Example(features, arrays["target"], np.int32(index))


def decode_uuid(record: bytes, index: int) -> str:
    """Name of the clip in a record. Raises as `decode` does."""
    return _load(record, index)["uuid"].tobytes().decode()


def _load(record: bytes, index: int) -> dict[str, np.ndarray]:
    try:
        arrays = load_tensors(record)
    except SafetensorError as error:
        raise UserError(f"record {index} is damaged: {error} (prepare the data again)") from error
    if set(arrays) != {*FIELDS, "target", "uuid"}:
        raise UserError(f"record {index} holds {sorted(arrays)}: not a clip (prepare the data again)")
    return arrays


def make_example(dyad: "Dyad", encoder: "BertEncoder") -> Example:
    """Extracts everything the model needs from one dyad.

    Args:
      dyad: sound, words and the motion of both people at 30 frames/s.
      encoder: gives the word vectors.
    """
    from lhg_jax.speech.extract import extract_speech

    require_same_space("speaker", dyad.speaker.space, "listener", dyad.listener.space)
    frames = min(len(dyad.speaker), len(dyad.listener))
    speech = extract_speech(dyad.wave, frames, dyad.words, encoder)
    valid = np.ones(frames, bool) if dyad.listener.valid is None else dyad.listener.valid[:frames]
    features = SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_of_frame=speech.word_of_frame,
        motion=dyad.speaker.values[:frames],
        has_motion=np.array(True),
        valid=valid,
    )
    return Example(features, dyad.listener.values[:frames], np.int32(0))
