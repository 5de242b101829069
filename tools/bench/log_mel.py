"""Speed of our log-mel against librosa's, both warm, in one process: `python tools/bench/log_mel.py`."""

import statistics
import time
from collections.abc import Callable

import librosa
import numpy as np

from lhg_jax.speech.log_mel import SAMPLE_RATE, STEP_RATE, log_mel

REPEATS = 50
HOP = round(SAMPLE_RATE / STEP_RATE)  # librosa has whole hops only: 267 samples, as many steps


def librosa_log_mel(wave: np.ndarray) -> np.ndarray:
    power = librosa.feature.melspectrogram(y=wave, sr=SAMPLE_RATE, n_fft=1024, hop_length=HOP, power=2.0)
    return librosa.power_to_db(power, ref=np.max)


def median_ms(function: Callable[[np.ndarray], object], wave: np.ndarray) -> float:
    def once() -> float:
        start = time.perf_counter()
        function(wave)
        return 1e3 * (time.perf_counter() - start)

    for _ in range(5):
        once()
    return statistics.median(once() for _ in range(REPEATS))


def main() -> None:
    for seconds in (8, 60, 600):
        wave = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
        ours = median_ms(lambda wave: log_mel(wave, len(wave) * 30 // SAMPLE_RATE), wave)
        theirs = median_ms(librosa_log_mel, wave)
        print(f"{seconds:4d} s: ours {ours:8.2f} ms, librosa {theirs:8.2f} ms, ratio {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
