import librosa
import numpy as np
import pytest

from lhg_jax.speech.log_mel import log_mel
from lhg_jax.speech.mfcc import mfcc, mfcc_of_log_mel
from lhg_jax.util.errors import UserError


def librosa_mfcc(mel, frames):
    static = librosa.feature.mfcc(S=mel[1 : 2 * frames : 2].T, n_mfcc=13)
    differences = [librosa.feature.delta(static, order=order, mode="nearest") for order in (1, 2)]
    return np.concatenate([static, *differences]).T


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 10, 61])
def test_equals_librosa(frames):
    wave = np.random.default_rng(frames).normal(0, 0.1, frames * 534).astype(np.float32)
    wave *= np.linspace(0.01, 1, len(wave), dtype=np.float32)
    result = mfcc(wave, frames)
    assert result.shape == (frames, 39) and result.dtype == np.float32
    np.testing.assert_allclose(result, librosa_mfcc(log_mel(wave, frames), frames), atol=2e-3)


def test_row_is_centred_on_its_frame():
    wave = np.zeros(32000, np.float32)
    wave[round(20.5 / 30 * 16000)] = 1.0  # the middle of frame 20
    energy = mfcc(wave, 60)[:, 0]
    assert energy.argmax() == 20
    np.testing.assert_allclose(energy[19], energy[21], atol=1.0)  # as loud before as after


def test_slope_of_a_ramp():
    mel = np.linspace(-80, 0, 122, dtype=np.float32)[:, None].repeat(128, axis=1)
    rows = mfcc_of_log_mel(mel, 60)
    slope = 2 * 80 / 121 * np.sqrt(128)  # two mel steps a frame; c0 is sqrt(128) x the mean level
    np.testing.assert_allclose(rows[4:-4, 13], slope, rtol=1e-4)
    np.testing.assert_allclose(rows[4:-4, 26], 0, atol=1e-3)


def test_silence_is_constant():
    rows = mfcc(np.zeros(16000, np.float32), 30)
    np.testing.assert_allclose(rows[:, 0], -80 * np.sqrt(128), rtol=1e-5)
    np.testing.assert_allclose(rows[:, 1:], 0, atol=1e-2)


def test_no_samples_is_a_user_error():
    with pytest.raises(UserError, match="no sound samples"):
        mfcc(np.zeros(0, np.float32), 3)
