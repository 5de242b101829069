import numpy as np
import pytest

from lhg_jax.speech.vico_compat import COLUMNS, FRAME_SAMPLES, MFCC, RMS, ZERO_CROSSINGS, vico_audio
from lhg_jax.util.errors import UserError


def test_the_columns_that_are_real_equal_the_reference(shared):
    golden = np.load(shared / "golden" / "vico_mfcc.radio31.npz")
    wave = golden["in_wave44100_int16"].astype(np.float32) / 32768
    expected = golden["out_feat45"]
    features = vico_audio(wave, len(expected))
    # The reference computes in float32; coefficients reach 91.
    np.testing.assert_allclose(features[:, MFCC], expected[:, MFCC], rtol=0, atol=2e-4)
    np.testing.assert_allclose(features[:, RMS], expected[:, RMS], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(features[:, ZERO_CROSSINGS], expected[:, ZERO_CROSSINGS], rtol=1e-6)
    assert not features[:, 13:39].any()
    assert np.abs(expected[:, 13:39]).max() < 2e-6  # noise in the reference


def test_sound_is_cut_and_filled_up_with_silence():
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * FRAME_SAMPLES + 700).astype(np.float32)
    longer = vico_audio(wave, 5)
    assert longer.shape == (5, COLUMNS)
    np.testing.assert_array_equal(vico_audio(wave, 3), longer[:3])
    assert not longer[4, RMS].any() and longer[3, RMS].any()
    assert np.isfinite(longer).all()


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.full(9, np.nan, np.float32)])
def test_nothing_to_hear(wave):
    with pytest.raises(UserError, match="finite samples"):
        vico_audio(wave, 3)
