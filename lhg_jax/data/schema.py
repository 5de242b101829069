"""Example: one dyad as the model sees it, and its form on disk, a tf.Example of raw bytes."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import flax.struct
import numpy as np

from lhg_jax.features import SpeakerFeatures
from lhg_jax.motion import Motion, require_same_space
from lhg_jax.util.errors import MissingExtraError, UserError

if TYPE_CHECKING:
    from lhg_jax.simulator.dyads import Dyad
    from lhg_jax.speech.bert import BertEncoder
    from lhg_jax.speech.extract import SpeechFeatures

FIELDS = ("log_mel", "mfcc", "word_table", "word_of_frame", "motion", "has_motion", "valid")
# Half precision on disk: steps of 0.06 dB at -80 dB, of 1e-3 in word vectors. Motion stays float32.
DTYPES = {
    "log_mel": np.float16,
    "mfcc": np.float16,
    "word_table": np.float16,
    "word_of_frame": np.int32,
    "motion": np.float32,
    "has_motion": np.bool_,
    "valid": np.bool_,
    "target": np.float32,
}
RANKS = {"word_of_frame": 1, "has_motion": 0, "valid": 1}  # the others are matrices


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


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """Who and what a clip is; on disk beside it, not seen by the model.

    Attributes:
      uuid: name of the clip.
      video_id: source of the clip; empty where nobody says.
      speaker_id, listener_id: people; empty where nobody says.
      attitude: of the listener: positive, neutral, negative or unknown.
      space: name of the coefficient space of both motions.
      motion_source: how they were measured: tracked, precomputed or simulated.
      transcript: words and times as JSON, which `speech.words.read_transcript` reads.
      notes: what was mended, one a line.
    """

    uuid: str
    video_id: str = ""
    speaker_id: str = ""
    listener_id: str = ""
    attitude: str = "unknown"
    space: str = ""
    motion_source: str = ""
    transcript: str = "[]"
    notes: str = ""


TEXTS = tuple(field.name for field in dataclasses.fields(ClipInfo))
KEYS = {n if n in RANKS else f"{n}/{part}" for n in DTYPES for part in ("value", "shape")} | {*TEXTS}


def stack(examples: Sequence[Example]) -> Batch:
    """Examples of equal shapes -> batch with leading axis B."""
    import jax

    return jax.tree.map(lambda *leaves: np.stack(leaves), *examples)


def encode(example: Example, info: ClipInfo) -> bytes:
    """Example -> bytes; `index` is left out, for it is the place in the file.

    Each array is one value of raw little-endian bytes; matrices have their shape beside them (`NAME/shape`).
    That is how TFDS stores a `Tensor` with `encoding="bytes"`; see `tfds_files.clip_features`.
    """
    record = load_protos().Example()
    feature = record.features.feature
    for name, dtype in DTYPES.items():
        value = example.target if name == "target" else getattr(example.features, name)
        array: np.ndarray = np.asarray(value, dtype)
        if name in RANKS:
            feature[name].bytes_list.value.append(array.tobytes())
        else:
            feature[f"{name}/value"].bytes_list.value.append(array.tobytes())
            feature[f"{name}/shape"].int64_list.value.extend(array.shape)
    for name in TEXTS:
        feature[name].bytes_list.value.append(getattr(info, name).encode())
    return record.SerializeToString(deterministic=True)


def decode(record: bytes, index: int) -> Example:
    """Bytes -> example in the precision of the disk; crops are made float32 (`features.pad_features`).

    Arrays are views into the record and cannot be written to. Raises `UserError` for anything that `encode`
    did not write.
    """
    feature = _parse(record, index)
    try:
        arrays = {name: _array(feature, name) for name in DTYPES}
    except (IndexError, ValueError) as error:
        raise UserError(f"record {index} is damaged: {error} (prepare the data again)") from error
    features = SpeakerFeatures(**{name: arrays[name] for name in FIELDS})
    return Example(features, arrays["target"], np.int32(index))


def decode_info(record: bytes, index: int) -> ClipInfo:
    """Who and what the clip in a record is. Raises as `decode` does."""
    feature = _parse(record, index)
    return ClipInfo(**{name: feature[name].bytes_list.value[0].decode() for name in TEXTS})


def _parse(record: bytes, index: int):
    from google.protobuf.message import DecodeError

    try:
        feature = load_protos().Example.FromString(record).features.feature
    except DecodeError as error:
        raise UserError(f"record {index} is damaged: {error} (prepare the data again)") from error
    if set(feature) != KEYS:
        raise UserError(f"record {index} holds {sorted(feature)}: not a clip (prepare the data again)")
    return feature


def _array(feature, name: str) -> np.ndarray:
    key = name if name in RANKS else f"{name}/value"
    array: np.ndarray = np.frombuffer(feature[key].bytes_list.value[0], DTYPES[name])
    if name in RANKS:
        return array if RANKS[name] else array.reshape(())
    return array.reshape(tuple(feature[f"{name}/shape"].int64_list.value))


def load_protos() -> Any:
    """The messages of `tf.Example`. Raises `MissingExtraError` without TFDS."""
    try:
        from tensorflow_datasets.proto import tf_example_pb2
    except ImportError as error:
        raise MissingExtraError("reading and writing clips", "train") from error
    return tf_example_pb2


def make_example(dyad: "Dyad", encoder: "BertEncoder") -> Example:
    """Extracts everything the model needs from one dyad.

    Args:
      dyad: sound, words and the motion of both people at 30 frames/s.
      encoder: gives the word vectors.
    """
    from lhg_jax.speech.extract import extract_speech

    require_same_space("speaker", dyad.speaker.space, "listener", dyad.listener.space)
    frames = min(len(dyad.speaker), len(dyad.listener))
    return assemble(extract_speech(dyad.wave, frames, dyad.words, encoder), dyad.speaker, dyad.listener)


def assemble(speech: "SpeechFeatures", speaker: Motion, listener: Motion) -> Example:
    """One clip of what was heard, T frames, and both people's motion, of which more is cut off."""
    frames = len(speech.word_of_frame)
    features = SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_of_frame=speech.word_of_frame,
        motion=speaker.values[:frames],
        has_motion=np.array(True),
        valid=listener.seen[:frames],
    )
    return Example(features, listener.values[:frames], np.int32(0))
