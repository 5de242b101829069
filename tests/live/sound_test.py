"""Packets of sound give the features of the whole clip."""

import numpy as np
import pytest
from live_untrained import NoWords

from lhg_jax.live.sound import LiveSound
from lhg_jax.speech.causal import extract_causal_speech
from lhg_jax.speech.log_mel import SAMPLE_RATE

FRAMES = 30


def voice(samples, seed=0):
    rng = np.random.default_rng(seed)
    loudness = np.interp(np.arange(samples) / 4000, np.arange(9), rng.uniform(0, 1, 9))
    return (0.3 * loudness**2 * rng.normal(size=samples)).astype(np.float32)


def hear(sound, frames=FRAMES):
    steps, rows = zip(*(sound.advance(frame) for frame in range(frames)), strict=True)
    return np.concatenate(steps), np.concatenate(rows)


def push(sound, wave, rng, at=0):
    """The wave in packets of random sizes, each at the time it has; packets' times tremble by up to 10 ms."""
    start = 0
    while start < len(wave):
        size = int(rng.integers(100, 1000))
        tremble = int(rng.integers(-160, 160)) if start else 0
        sound.push(wave[start : start + size], at + start + tremble)
        start += size


@pytest.mark.parametrize("seed", range(3))
def test_packets_equal_the_clip(seed):
    wave, sound = voice(20000, seed), LiveSound()
    push(sound, wave, np.random.default_rng(seed))
    log_mel, mfcc = hear(sound)
    whole = extract_causal_speech(wave, 37, [], NoWords())
    assert log_mel.shape == (2 * FRAMES + 3, 128) and mfcc.shape == (FRAMES, 39)
    np.testing.assert_allclose(log_mel, whole.log_mel[: len(log_mel)], atol=1e-3)
    np.testing.assert_allclose(mfcc, whole.mfcc[:FRAMES], atol=1e-2)
    assert len(sound._samples) < 9000, "what was heard is let go of"


def test_a_frame_is_heard_once_its_samples_are_there():
    wave, early, late = voice(20000), LiveSound(), LiveSound()
    assert early.needed(10) < 10 / 30 * SAMPLE_RATE + 0.1 * SAMPLE_RATE
    early.push(wave[: early.needed(10)], 0)
    late.push(wave, 0)
    for a, b in zip(hear(early, 11), hear(late, 11), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gap_is_silence_and_an_overlap_is_kept_once():
    wave = voice(20000)
    gap, overlap, silent = LiveSound(), LiveSound(), wave.copy()
    silent[5000:9000] = 0
    gap.push(wave[:5000], 0)
    gap.push(wave[9000:], 9000)
    overlap.push(silent[:12000], 0)
    overlap.push(silent[7000:], 7000)
    assert gap.end == overlap.end == 20000
    for a, b in zip(hear(gap), hear(overlap), strict=True):
        np.testing.assert_array_equal(a, b)


def test_after_a_jump_the_later_sound_is_heard():
    sound, wave = LiveSound(), voice(40000)
    sound.push(wave, 0)
    hear(sound, 10)
    sound.jump(30)
    log_mel, _ = sound.advance(10)
    other = LiveSound()
    other.push(wave[SAMPLE_RATE:], 0)
    for frame in range(11):
        want, _ = other.advance(frame)
    assert len(log_mel) == len(want) == 2
    for ours, theirs in zip(log_mel, want, strict=True):
        shifted = (ours - theirs)[(np.minimum(ours, theirs) > -79) & (np.maximum(ours, theirs) < -1)]
        np.testing.assert_allclose(shifted, shifted.mean(), atol=1e-2)  # but for the running loudness


def test_sound_after_a_long_silence_needs_no_memory_for_it():
    """Half an hour in which nothing came, then sound again: what is kept is the last second."""
    sound, wave = LiveSound(), voice(4000)
    sound.push(wave, 0)
    hear(sound, 5)
    sound.jump(30 * 60 * 30)
    sound.advance(5)
    sound.push(wave, 30 * 60 * SAMPLE_RATE + 3000)
    assert len(sound._samples) < 2 * SAMPLE_RATE
    log_mel, _ = sound.advance(6)
    assert log_mel.max() > -80
