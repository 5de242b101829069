import librosa
import numpy as np
import pytest
import scipy.io.wavfile

from lhg_jax.features import mel_steps
from lhg_jax.speech import log_mel as module
from lhg_jax.speech.log_mel import log_mel, mel_decibels, mel_filters, relative_to_maximum
from lhg_jax.util.errors import UserError


def noise(samples, seed=0, level=0.1):
    envelope = np.random.default_rng(seed + 1).uniform(0.01, 1, samples // 1600 + 1).repeat(1600)[:samples]
    return (level * envelope * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def librosa_power(wave, hop):
    return librosa.feature.melspectrogram(y=wave, sr=16000, n_fft=1024, hop_length=hop, power=2.0).T


def test_filters_equal_librosa():
    np.testing.assert_allclose(mel_filters(), librosa.filters.mel(sr=16000, n_fft=1024), atol=1e-8)


@pytest.mark.parametrize("hop", [320, 512, 800])
def test_equals_librosa_where_the_hop_is_whole(hop):
    wave = noise(40000)
    want = librosa.power_to_db(librosa_power(wave, hop), ref=1.0, top_db=None)
    got = mel_decibels(wave, len(want), 16000 / hop)
    np.testing.assert_allclose(got, want, atol=1e-3)


def test_equals_ha2g_recording(shared):
    golden = np.load(shared / "golden" / "ha2g_mel.radio31.npz")
    wave = golden["in_wave_int16"].astype(np.float32) / 32768
    want = golden["out_logmel"].T
    got = relative_to_maximum(mel_decibels(wave, len(want), 16000 / 512))
    np.testing.assert_allclose(got, want, atol=1e-3)


def test_steps_at_fractional_hop_are_centred_at_rounded_samples():
    wave = noise(16000 * 2, seed=3)
    got = mel_decibels(wave, 60, 60.0)
    for step in (1, 2, 7, 31, 58):
        centre = round(step * 16000 / 60)
        padded = np.pad(wave, 512)
        frame = padded[centre : centre + 1024] * np.hanning(1025)[:-1]
        power = mel_filters() @ np.abs(np.fft.rfft(frame)) ** 2
        np.testing.assert_allclose(got[step], 10 * np.log10(power), atol=1e-3)


def test_a_click_is_loudest_at_its_own_step():
    for step in (0, 40, 601):  # the last one in the second chunk
        wave = np.zeros(16000 * 11, np.float32)
        wave[round(step * 16000 / 60)] = 1.0
        assert log_mel(wave, 330).max(axis=1).argmax() == step


@pytest.mark.parametrize("frames", [1, 2, 3, 90, 127, 240])
def test_shape_range_and_dtype(frames):
    wave = noise(round(frames * 16000 / 30))
    result = log_mel(wave, frames)
    assert result.shape == (mel_steps(frames), 128)
    assert result.dtype == np.float32
    assert result.max() == 0 and result.min() >= -80


def test_result_does_not_depend_on_the_chunk(monkeypatch):
    wave = noise(16000 * 4)
    want = mel_decibels(wave, 241, 60.0)
    monkeypatch.setattr(module, "CHUNK", 33)
    np.testing.assert_allclose(mel_decibels(wave, 241, 60.0), want, atol=1e-4)


def test_one_compilation_for_all_lengths():
    log_mel(noise(16000), 30)
    before = module.window_decibels._cache_size()
    for frames in (1, 17, 200, 500):
        log_mel(noise(16000), frames)
    assert module.window_decibels._cache_size() == before


def test_sound_outside_the_clip_does_not_matter():
    wave = noise(16000 * 3)
    cut = log_mel(wave[:32000], 60)
    np.testing.assert_array_equal(log_mel(wave, 60), cut)
    np.testing.assert_array_equal(log_mel(wave[:20000], 60), log_mel(np.pad(wave[:20000], (0, 30000)), 60))


def test_level_of_the_recording_does_not_matter_above_the_floor():
    wave = noise(32000)
    np.testing.assert_allclose(log_mel(wave * 0.3, 60), log_mel(wave, 60), atol=1e-3)


def test_silence_is_the_bottom_and_faint_noise_stays_low():
    assert (log_mel(np.zeros(32000, np.float32), 60) == -80).all()
    faint = log_mel(noise(32000, level=1e-4), 60)  # about -85 dBFS
    assert faint.max() < -40


def test_real_speech_has_pauses_and_peaks(shared):
    _, stereo = scipy.io.wavfile.read(shared / "data" / "real" / "speech_a.wav")
    result = log_mel(stereo.mean(axis=1).astype(np.float32) / 32768, 240)
    assert result.max() == 0
    level = result.max(axis=1)
    assert np.percentile(level, 95) > -15 and np.percentile(level, 5) < -35


@pytest.mark.parametrize(
    "wave, frames, words",
    [
        (np.zeros(0, np.float32), 3, "no sound samples"),
        (np.ones(1600, np.float32), 0, "0 frames"),
        (np.array([0.1, np.nan], np.float32), 3, "not finite"),
    ],
)
def test_unusable_input_is_a_user_error(wave, frames, words):
    with pytest.raises(UserError, match=words):
        log_mel(wave, frames)
