"""Metrics per video, against examples worked by hand and against plain loops."""

import numpy as np
import pytest

from lhg_jax.metrics import per_video


def videos(seed: int, count: int = 3, size: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(int(rng.integers(20, 40)), size)).astype(np.float32) for _ in range(count)]


def like(others: list[np.ndarray], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=x.shape).astype(np.float32) for x in others]


def test_fd_video_of_shifted_and_stretched_lines():
    line = np.array([[0.0], [2.0]], np.float32)  # mean 1, deviation √2 with divisor n - 1
    # Shifted by 3: 9. Twice as long about the same mean: (2√2 - √2)² = 2.
    assert per_video.fd_video([line + 3], [line]) == pytest.approx(9)
    assert per_video.fd_video([2 * line - 1], [line]) == pytest.approx(2)
    assert per_video.fd_video([line + 3, 2 * line - 1], [line, line]) == pytest.approx(5.5)


def test_fd_video_sees_what_pooling_hides():
    low, high = np.zeros((10, 1), np.float32), np.ones((10, 1), np.float32)
    assert per_video.fd_video([low, high], [high, low]) == pytest.approx(1)


def test_pfd_video_is_fd_of_vectors_with_the_speaker():
    targets = videos(0)
    predictions, speakers = like(targets, 1), like(targets, 2)
    both = [[np.hstack(pair) for pair in zip(x, speakers, strict=True)] for x in (predictions, targets)]
    assert per_video.pfd_video(predictions, targets, speakers) == pytest.approx(per_video.fd_video(*both))
    assert per_video.pfd_video(targets, targets, speakers) == pytest.approx(0, abs=1e-6)


def test_var_flat_counts_offsets_between_coefficients():
    still = np.tile(np.array([[0.0, 2.0]], np.float32), (5, 1))
    assert per_video.var_flat([still]) == pytest.approx(1)  # (0 - 1)² and (2 - 1)²


def test_rpcc_by_hand():
    # Flat arrays: truth and speaker equal (1), prediction opposite (-1).
    rising = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    assert per_video.rpcc_pooled([-rising], [rising], [rising]) == pytest.approx(2)
    assert per_video.rpcc_video([-rising, rising], [rising, rising], [rising, rising]) == pytest.approx(1)


def test_rpcc_pooled_and_of_videos_differ():
    targets = videos(3)
    predictions, speakers = like(targets, 4), like(targets, 5)
    offset = [x + 10 * i for i, x in enumerate(targets)]
    pooled = per_video.rpcc_pooled(predictions, offset, [s + 10 * i for i, s in enumerate(speakers)])
    assert pooled > 0.5  # the videos' offsets correlate, which says nothing about any one of them
    assert per_video.rpcc_video(predictions, offset, speakers) < 0.5


def test_frdiv_is_the_mean_over_ordered_pairs():
    rng = np.random.default_rng(6)
    samples = [rng.normal(size=(7, 3)) for _ in range(4)]
    pairs = [np.square(a - b).sum() for i, a in enumerate(samples) for j, b in enumerate(samples) if i != j]
    assert per_video.frdiv(samples) == pytest.approx(sum(pairs) / (4 * 3 * 21))
    assert np.isnan(per_video.frdiv(samples[:1]))
