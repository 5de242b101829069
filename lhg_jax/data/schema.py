"""A clip's form on disk, a tf.Example of raw bytes, and how one is put together."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lhg_jax.contract import (
    VICO_COMPAT,
    Batch,
    Example,
    FeatureSpec,
    SpeakerFeatures,
    spec_from_json,
    style_vector,
)
from lhg_jax.motion import Motion
from lhg_jax.util.errors import MissingExtraError, UserError

if TYPE_CHECKING:
    from lhg_jax.speech.extract import SpeechFeatures

# Half precision on disk: steps of 0.06 dB at -80 dB, of 1e-3 in word vectors. Motion stays float32. A clip
# has no padding, so `in_clip` is not stored.
DTYPES = {
    "log_mel": np.float16,
    "mfcc": np.float16,
    "word_table": np.float16,
    "word_index": np.int32,
    "speaker_motion": np.float32,
    "speaker_seen": np.bool_,
    "listener_motion": np.float32,
    "listener_seen": np.bool_,
    "style": np.float32,
}
VECTORS = ("word_index", "speaker_seen", "listener_seen", "style")  # the others are matrices
OF_EXAMPLE = ("listener_motion", "listener_seen", "style")  # the others are the speaker's
# Names in clips prepared before the masks had one meaning each; see `_modern`.
OLD_NAMES = {
    "log_mel": "log_mel",
    "mfcc": "mfcc",
    "word_table": "word_table",
    "word_of_frame": "word_index",
    "motion": "speaker_motion",
    "target": "listener_motion",
    "valid": "listener_seen",
    "has_motion": "speaker_seen",
}


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """Who and what a clip is; on disk beside it, not seen by the model.

    Attributes:
      uuid: name of the clip.
      video_id: source of the clip; empty where nobody says.
      speaker_id, listener_id: people; empty where nobody says.
      attitude: of the listener: positive, neutral, negative or unknown.
      space: name of the coefficient space of both motions.
      motion_source: how they were measured: tracked (by dlib's landmarks), tracked by tddfa, precomputed or
        simulated.
      transcript: words and times as JSON, which `speech.words.read_transcript` reads.
      notes: what was mended, one a line.
      features: `contract.FeatureSpec` as JSON; empty where the sizes of the arrays say it all
        (`presumed_features`).
      gestures: the listener's, labelled by people, as JSON (`data.gestures`); empty where nobody has.
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
    features: str = ""
    gestures: str = ""


TEXTS = tuple(field.name for field in dataclasses.fields(ClipInfo))


def _keys(names: Iterable[str]) -> set[str]:
    """The keys of a record whose arrays have these names."""
    tensors = {f"{name}/{part}" for name in names if _is_matrix(name) for part in ("value", "shape")}
    return tensors | {name for name in names if not _is_matrix(name)}


def _is_matrix(name: str) -> bool:
    return OLD_NAMES.get(name, name) not in VECTORS


LATER = {"gestures"}  # that clips of today's form may still lack
KEYS = _keys(DTYPES) | {*TEXTS} - LATER
OLD_KEYS = _keys(OLD_NAMES) | {*TEXTS} - LATER - {"features"}


def stack(examples: Iterable[Example], count: int) -> Batch:
    """The first `count` examples, of equal shapes -> batch with leading axis B.

    Each is copied as it comes, so that they need not be in memory together. Raises ValueError where shapes
    differ or there are fewer.
    """
    import jax

    arrays: list[np.ndarray] = []
    number = -1
    for number, example in enumerate(itertools.islice(examples, count)):
        leaves, structure = jax.tree.flatten(example)
        arrays = arrays or [np.empty((count, *np.shape(leaf)), leaf.dtype) for leaf in leaves]
        for array, leaf in zip(arrays, leaves, strict=True):
            if array.shape[1:] != leaf.shape:
                raise ValueError(f"example {number}: an array of {leaf.shape} for a batch of {array.shape}")
            array[number] = leaf
    if number + 1 < max(count, 1):
        raise ValueError(f"{number + 1} examples for a batch of {count}")
    return jax.tree.unflatten(structure, arrays)


def encode(example: Example, info: ClipInfo) -> bytes:
    """Example -> bytes; `index` is left out, for it is the place in the file.

    Each array is one value of raw little-endian bytes; matrices have their shape beside them (`NAME/shape`).
    That is how TFDS stores a `Tensor` with `encoding="bytes"`; see `tfds_files.clip_features`.
    """
    record = load_protos().Example()
    feature = record.features.feature
    for name, dtype in DTYPES.items():
        value = getattr(example if name in OF_EXAMPLE else example.features, name)
        array: np.ndarray = np.asarray(value, dtype)
        if name in VECTORS:
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
        if set(feature) == OLD_KEYS:
            arrays = _modern({new: _array(feature, old, new) for old, new in OLD_NAMES.items()})
        else:
            arrays = {name: _array(feature, name, name) for name in DTYPES}
        _require_one_length(arrays)
    except (IndexError, ValueError) as error:
        raise UserError(f"record {index} is damaged: {error} (prepare the data again)") from error
    own = {name: arrays.pop(name) for name in OF_EXAMPLE}
    in_clip = np.ones(len(arrays["word_index"]), bool)
    return Example(SpeakerFeatures(**arrays, in_clip=in_clip), index=np.int32(index), **own)


def _require_one_length(arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError unless what has a row for each frame has as many, and words are in their table."""
    frames = len(arrays["word_index"])
    for name in (name for name in DTYPES if name not in ("log_mel", "word_table", "style")):
        if len(arrays[name]) != frames:
            raise ValueError(f"{name} has {len(arrays[name])} rows for {frames} frames")
    words = arrays["word_index"]
    if words.min(initial=0) < 0 or words.max(initial=0) >= len(arrays["word_table"]):
        raise ValueError("words are not in their table")


def _modern(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An old clip's arrays: it said of the whole speaker whether they are seen, and nothing of the style."""
    frames, seen = len(arrays["word_index"]), bool(arrays["speaker_seen"].all())
    return arrays | {"speaker_seen": np.full(frames, seen), "style": style_vector()}


def decode_info(record: bytes, index: int) -> ClipInfo:
    """Who and what the clip in a record is. Raises as `decode` does."""
    feature = _parse(record, index)
    try:
        return ClipInfo(**{n: feature[n].bytes_list.value[0].decode() for n in TEXTS if n in feature})
    except (IndexError, ValueError) as error:
        raise UserError(f"record {index} is damaged: {error} (prepare the data again)") from error


def feature_spec(example: Example, info: ClipInfo) -> FeatureSpec:
    """What a clip's features mean. Raises ValueError or TypeError where its info holds something else."""
    if info.features:
        return spec_from_json(FeatureSpec, info.features)
    return presumed_features(example, info.space)


def presumed_features(example: Example, space: str) -> FeatureSpec:
    """The first recipes, as far as the sizes allow: of clips that do not say what they are made by."""
    columns, word_size = example.features.mfcc.shape[-1], example.features.word_table.shape[-1]
    mfcc = FeatureSpec.mfcc if columns == FeatureSpec.mfcc_size else VICO_COMPAT
    return FeatureSpec(mfcc=mfcc, mfcc_size=columns, word_size=word_size, space=space)


def _parse(record: bytes, index: int):
    from google.protobuf.message import DecodeError

    try:
        feature = load_protos().Example.FromString(record).features.feature
    except DecodeError as error:
        raise UserError(f"record {index} is damaged: {error} (prepare the data again)") from error
    if set(feature) - LATER not in (KEYS, OLD_KEYS):
        raise UserError(f"record {index} holds {sorted(feature)}: not a clip (prepare the data again)")
    return feature


def _array(feature, key: str, name: str) -> np.ndarray:
    """The array that is stored as `key` and now called `name`."""
    raw = feature[key if name in VECTORS else f"{key}/value"].bytes_list.value[0]
    array: np.ndarray = np.frombuffer(raw, DTYPES[name])
    return array if name in VECTORS else array.reshape(tuple(feature[f"{key}/shape"].int64_list.value))


def load_protos() -> Any:
    """The messages of `tf.Example`. Raises `MissingExtraError` without TFDS."""
    try:
        from tensorflow_datasets.proto import tf_example_pb2
    except ImportError as error:
        raise MissingExtraError("reading and writing clips", "train") from error
    return tf_example_pb2


def assemble(
    speech: "SpeechFeatures",
    speaker: Motion,
    listener: Motion,
    style: Float[np.ndarray, "style"] | None = None,
) -> Example:
    """One clip of what was heard, T frames, and both people's motion, of which more is cut off."""
    frames = len(speech.word_index)
    features = SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_index=speech.word_index,
        speaker_motion=speaker.values[:frames],
        speaker_seen=speaker.bridged[:frames],
        in_clip=np.ones(frames, bool),
    )
    style = style_vector() if style is None else style
    return Example(features, listener.values[:frames], listener.seen[:frames], np.int32(0), style)
