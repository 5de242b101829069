"""Sizes of the speaker's features, and how a clip of them is cut and padded (numpy)."""

from typing import Any

import numpy as np

from lhg_jax.contract import AnyArray, SpeakerFeatures

Size = Any  # int, or a symbolic dimension where a function is exported

MFCC_SIZE = 39  # 13 coefficients + delta + delta-delta
MEL_BANDS = 128
MEL_FLOOR_DB = -80.0  # silence; 0 dB is the loudest step of a clip
MFCC_RATE = 30  # rows/s, one row a motion frame


def encoder_frames(frames: Size) -> Size:
    """T': the least integer >= `frames` with T' mod 4 = 2, on which all levels of the audio encoder agree."""
    return frames + (2 - frames) % 4


def mel_steps(frames: Size) -> Size:
    """Number of log-mel steps that go with `frames` motion frames: 2T' + 2 (DESIGN section 3)."""
    return 2 * encoder_frames(frames) + 2


def pad_features(features: SpeakerFeatures, frames: int, words: int) -> SpeakerFeatures:
    """Pads one clip (numpy) to `frames` frames and `words` word rows; sound with silence, else zeros.

    Half precision, which clips have on disk, becomes float32. Raises ValueError if the clip is longer.
    """

    def pad(values: AnyArray, size: int, value: float = 0) -> np.ndarray:
        array = np.asarray(values)
        if len(array) > size:
            raise ValueError(f"cannot pad {len(array)} rows to {size}")
        dtype = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype
        padded = np.empty((size, *array.shape[1:]), dtype)  # np.pad takes many times as long
        padded[: len(array)] = single(array) if array.dtype == np.float16 else array
        padded[len(array) :] = value
        return padded

    return SpeakerFeatures(
        log_mel=pad(features.log_mel, mel_steps(frames), MEL_FLOOR_DB),
        mfcc=pad(features.mfcc, frames),
        word_table=pad(features.word_table, words),
        word_index=pad(features.word_index, frames),
        speaker_motion=pad(features.speaker_motion, frames),
        speaker_seen=pad(features.speaker_seen, frames),
        in_clip=pad(features.in_clip, frames),
    )


def single(half: np.ndarray) -> np.ndarray:
    """Half precision as single precision, exactly, in less than half of numpy's time.

    The bits of exponent and mantissa, moved to their places in float32, are a number 2^112 times too small.
    """
    bits = half.view(np.uint16).astype(np.uint32)
    if ((bits & 0x7C00) == 0x7C00).any():  # infinities and what is no number
        return half.astype(np.float32)
    sign = (bits & 0x8000) << 16
    bits &= 0x7FFF
    bits <<= 13
    values = bits.view(np.float32)
    values *= np.float32(2.0**112)
    bits |= sign
    return values


def crop_features(features: SpeakerFeatures, start: int, frames: int, words: int) -> SpeakerFeatures:
    """Cuts frames [start, start + frames) out of one clip and pads what the clip does not reach (numpy).

    The mel steps follow the frames; word rows are renumbered so that only the words spoken inside the crop
    remain. A crop with more than `words` words keeps the first of them.

    Args:
      features: one clip, no leading axis.
      start: first frame, in [0, T).
      frames: length of the crop.
      words: number of rows of the cropped word table besides row 0.
    """
    stop = min(start + frames, features.frames)
    spoken = features.word_index[start:stop]
    kept = np.unique(spoken[spoken > 0])[:words]
    number = np.zeros(len(features.word_table), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    crop = SpeakerFeatures(
        log_mel=features.log_mel[2 * start : 2 * start + mel_steps(stop - start)],
        mfcc=features.mfcc[start:stop],
        word_table=features.word_table[np.concatenate([[0], kept]).astype(np.int32)],
        word_index=number[spoken],
        speaker_motion=features.speaker_motion[start:stop],
        speaker_seen=features.speaker_seen[start:stop],
        in_clip=features.in_clip[start:stop],
    )
    return pad_features(crop, frames, words + 1)
