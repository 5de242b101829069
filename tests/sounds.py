"""Sounds that tests make: a voice with pauses, and what may lie under one."""

import numpy as np

RATE = 16000
PHRASE_S, PAUSE_S = 1.6, 1.4


def speaks(seconds: float) -> np.ndarray:
    """Whether `voice` is in a phrase, for each sample."""
    return np.arange(round(RATE * seconds)) / RATE % (PHRASE_S + PAUSE_S) < PHRASE_S


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Four syllables a second of a voice with overtones, in phrases with pauses; -20 dBFS while it speaks."""
    t, rng = np.arange(round(RATE * seconds)) / RATE, np.random.default_rng(seed)
    phase = 2 * np.pi * np.cumsum(130 + 20 * np.sin(2 * np.pi * 0.7 * t + rng.uniform(0, 6))) / RATE
    colour = [1, 0.8, 0.6, 0.9, 0.7, 0.3, 0.2, 0.2, 0.3, 0.2, 0.1, 0.1]
    wave = sum(level * np.sin(k * phase) for k, level in enumerate(colour, start=1))
    return at_level(wave * np.sin(4 * np.pi * t) ** 2 * speaks(seconds), -20, speaks(seconds))


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """A fan: white noise with most of it in the low frequencies; -20 dBFS."""
    wave = np.random.default_rng(seed).normal(size=round(RATE * seconds) + 4)
    return at_level(np.convolve(wave, [1, 0.8, 0.6, 0.4, 0.2], "valid"), -20)


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Three notes with overtones that die away, new ones every half second; -20 dBFS."""
    t, rng = np.arange(round(RATE * seconds)) / RATE, np.random.default_rng(seed)
    hz = 220 * 2 ** (rng.integers(0, 24, (3, len(t) // 8000 + 1)) / 12)
    phase = 2 * np.pi * hz.repeat(8000, axis=1)[:, : len(t)] * t
    wave = sum(np.sin(k * phase).sum(axis=0) / k for k in range(1, 5))
    return at_level(wave * np.exp(-3 * (t % 0.5)), -20)


def at_level(wave: np.ndarray, level_db: float, where: np.ndarray | None = None) -> np.ndarray:
    """The sound with so many dBFS (RMS) where it is looked at."""
    rms = np.sqrt((wave[where] ** 2).mean() if where is not None else (wave**2).mean())
    return (wave * 10 ** (level_db / 20) / rms).astype(np.float32)


UNDER = {"fan": noise, "music": music}
