"""Clips -> batches, by grain: global shuffle, random crops, augmentation, sharding by process, prefetch.

A batch depends on the seed and its number only, not on threads, workers or processes: each process makes its
piece of it, in the order of processes. The whole state of the stream is therefore one number.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from absl import flags

from lhg_jax.config import AugmentConfig, DataConfig
from lhg_jax.contract import Batch, Example, FeatureSpec, word_capacity
from lhg_jax.data.augment import augment, changes_sound
from lhg_jax.data.in_place import InPlaceSource
from lhg_jax.data.records import RecordSource
from lhg_jax.data.schema import stack
from lhg_jax.features import MFCC_SIZE, crop_features
from lhg_jax.motion import LANDMARK, CoefficientSpace
from lhg_jax.util.errors import MissingExtraError, UserError


@runtime_checkable
class Source(Protocol):
    """Random access to clips of one space."""

    @property
    def space(self) -> CoefficientSpace:
        """Space of all motions."""

    @property
    def features(self) -> FeatureSpec:
        """What the features of all clips mean."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def crop(example: Example, start: int, frames: int) -> Example:
    """Frames [start, start + frames) of one clip in float32, padded where the clip ends earlier."""
    features = crop_features(example.features, start, frames, word_capacity(frames))
    part = np.asarray(example.listener_motion[start : start + frames])
    motion = np.zeros((frames, part.shape[1]), np.float32)
    motion[: len(part)] = part
    seen = np.zeros(frames, bool)
    seen[: len(part)] = example.listener_seen[start : start + frames]
    return example.replace(features=features, listener_motion=motion, listener_seen=seen)


def random_crop(example: Example, frames: int, rng: np.random.Generator, offset_frames: int = 0) -> Example:
    """A crop that starts anywhere where it still fits and the listener is seen: that frame is the reference.

    Its sound and words start up to `offset_frames` earlier or later in the clip, as far as they fit, too.
    """
    last = max(example.features.frames - frames, 0)
    starts = np.flatnonzero(example.listener_seen[: last + 1])
    if not len(starts):
        starts = np.arange(last + 1)
    start = int(starts[rng.integers(0, len(starts))])
    cut = crop(example, start, frames)
    if not offset_frames:
        return cut
    offset = int(rng.integers(-offset_frames, offset_frames + 1))
    heard = crop(example, min(max(start + offset, 0), last), frames).features
    seen = {name: getattr(cut.features, name) for name in ("speaker_motion", "speaker_seen", "in_clip")}
    return cut.replace(features=heard.replace(**seen))


class TrainStream:
    """Endless training batches of one process; its place can be saved and restored.

    Iterating yields batches of `batch_size / processes` crops. Every clip is used once per epoch, in an order
    that the seed and the epoch decide.
    """

    def __init__(
        self,
        source: Source,
        data: DataConfig,
        augmentation: AugmentConfig,
        *,
        batch_size: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
    ):
        """Raises `UserError` where the batch does not divide, or the source is empty or in another space."""
        if batch_size % processes:
            raise UserError(f"train.batch_size={batch_size} does not divide by {processes} processes")
        if len(source) == 0:
            raise UserError("the training source holds no clips")
        landmark_only = ("mirror", "tracking_exp", "tracking_deg", "tracking_trans")
        used = [name for name in landmark_only if getattr(augmentation, name)]
        if used and source.space != LANDMARK:
            raise UserError(f"augment.{used[0]} must be 0: it is not defined in space {source.space.name!r}")
        if changes_sound(augmentation) and source[0].features.mfcc.shape[-1] != MFCC_SIZE:
            raise UserError(
                "augment.gain_db, noise_db, time_masks and band_masks must be 0: the audio features of these "
                "clips (--audio vico_compat) do not follow from the log-mel"
            )
        self._data = data
        crops = _Crops(data.crop_frames, augmentation, source.features.causal)
        clips = InPlaceSource(source) if isinstance(source, RecordSource) else source
        stream = _grain().MapDataset.source(clips).seed(seed).shuffle().repeat().random_map(_with_state)
        self._batches = stream.batch(batch_size // processes, batch_fn=crops)[process::processes]
        self._next = 0
        self._iterator: Iterator[Batch] | None = None  # started when the first batch is asked for

    def get_state(self) -> dict[str, int]:
        """The place in the stream, for a checkpoint: number of batches taken so far."""
        return {"next_batch": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues where a stream of the same seed and batch size was; processes and workers may differ."""
        self._next = state["next_batch"]
        self._iterator = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._iterator is None:
            self._iterator = self._start(self._next)
        batch = next(self._iterator)
        self._next += 1
        return batch

    def _start(self, first: int) -> Iterator[Batch]:
        grain = _grain()
        threads = self._data.threads
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=max(self._data.prefetch, threads)
        )
        batches = self._batches[first:].to_iter_dataset(options)
        if self._data.workers:
            if not flags.FLAGS.is_parsed():  # grain reads its own absl flags; we have another command line
                flags.FLAGS.mark_as_parsed()
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._data.workers))
        return iter(batches)


def _with_state(example: Example, rng: np.random.Generator) -> tuple[Example, Mapping[str, Any]]:
    """The clip, of which nothing has been read, and the random numbers that its crop will take."""
    return example, rng.bit_generator.state


class _Crops:
    """Crops and augments clips one by one into their places in a batch; can be sent to worker processes.

    All crops of a batch in memory of their own, until they are stacked, cost more than their making.
    """

    def __init__(self, frames: int, augmentation: AugmentConfig, causal: bool):
        self._frames = frames
        self._augmentation = augmentation
        self._causal = causal

    def __call__(self, clips: Sequence[tuple[Example, Mapping[str, Any]]]) -> Batch:
        rng = np.random.Generator(np.random.Philox())  # what grain's generators are
        return stack((self._make(clip, state, rng) for clip, state in clips), len(clips))

    def _make(self, example: Example, state: Mapping[str, Any], rng: np.random.Generator) -> Example:
        rng.bit_generator.state = state
        cut = random_crop(example, self._frames, rng, self._augmentation.offset_frames)
        return augment(cut, self._augmentation, rng, self._causal)


def eval_batches(
    source: Source, frames: int, *, batch_size: int, process: int = 0, processes: int = 1
) -> Iterator[Batch]:
    """Every clip exactly once, over all processes, padded to `frames` or cut to as many from its middle.

    A crop starts where the listener is seen. The last batch is filled up with clips of no frames and index
    -1, so that every process sees the same number of batches. Raises `UserError` where the batch does not
    divide by the processes.
    """
    if batch_size % processes:
        raise UserError(f"data.eval_batch_size={batch_size} does not divide by {processes} processes")
    share = batch_size // processes
    for first in range(0, len(source), batch_size):
        numbers = range(first + process * share, first + (process + 1) * share)
        yield stack((_eval_example(source, number, frames) for number in numbers), share)


def _eval_example(source: Source, number: int, frames: int) -> Example:
    if number < len(source):
        example = source[number]
        middle = max(example.features.frames - frames, 0) // 2
        seen = np.flatnonzero(example.listener_seen)
        start = int(seen[np.abs(seen - middle).argmin()]) if len(seen) else middle
        return crop(example, start, frames)
    blank = crop(source[0], 0, frames)
    nowhere = np.zeros(frames, bool)
    features = blank.features.replace(in_clip=nowhere, speaker_seen=nowhere)
    return blank.replace(features=features, listener_seen=nowhere, index=np.int32(-1))


def to_devices(batches: Iterator[Batch], sharding: jax.sharding.Sharding) -> Iterator[Batch]:
    """Local batches of each process -> global arrays laid out by `sharding`.

    The copy is only begun here. The training loop asks for batch n + 1 when step n is under way, so it is on
    the devices when the step has ended; more batches ahead would leave the saved place behind the stream's.
    """
    for batch in batches:
        yield jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)


def _grain():
    try:
        import grain
    except ImportError as error:
        raise MissingExtraError("the data pipeline", "train") from error
    return grain
