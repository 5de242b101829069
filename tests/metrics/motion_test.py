import numpy as np
import pytest

from lhg_jax.metrics import motion
from lhg_jax.motion import DEEP3D_CROP, LANDMARK, TDDFA


def walk(frames=200, size=6, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, size)).cumsum(axis=0)


@pytest.mark.parametrize("length", ["T240", "T50"])
def test_l1_equals_recordings(shared, length):
    data = np.load(shared / "golden/fid_and_fd.a.npz")
    a, b = data[f"in_coeff_pred_{length}"], data[f"in_coeff_target_{length}"]
    for name, part in {"all70": slice(0, 70), "angle3": slice(0, 3), "exp64": slice(3, 67)}.items():
        np.testing.assert_allclose(
            motion.l1(a[:, part], b[:, part]), data[f"out_l1_{name}_{length}"], rtol=1e-12
        )


def test_pose_is_angle_and_trans_without_crop():
    np.testing.assert_array_equal(motion.columns(LANDMARK, "pose"), np.arange(64, 70))
    np.testing.assert_array_equal(motion.columns(DEEP3D_CROP, "pose"), np.arange(64, 70))
    np.testing.assert_array_equal(motion.columns(TDDFA, "exp"), np.arange(10))


def test_variance_is_along_time():
    curve = np.stack([np.arange(4.0), np.full(4, 7.0)], axis=1)
    np.testing.assert_allclose(motion.variance(curve), (1.25 + 0) / 2)


def test_jitter_is_zero_for_parabolas_and_counts_seconds():
    time = np.arange(30)[:, None] / 30
    np.testing.assert_allclose(motion.jitter(3 * time**2 + time, 30.0), 0, atol=1e-8)
    np.testing.assert_allclose(motion.jitter(time**3, 30.0), 6, rtol=1e-6)
    assert np.isnan(motion.jitter(time[:3], 30.0))


def test_residual_correlation():
    speaker = walk()
    noise = walk(seed=1)
    assert motion.residual_correlation(noise, noise, speaker) == 0
    np.testing.assert_allclose(motion.residual_correlation(speaker, -2 * speaker, speaker), 2)
    still = np.zeros_like(speaker)
    rho = [np.corrcoef(a, b)[0, 1] for a, b in zip(noise.T, speaker.T, strict=True)]
    np.testing.assert_allclose(
        motion.residual_correlation(still, noise, speaker), np.mean(np.abs(rho)), rtol=1e-9
    )


def test_shannon_index():
    rng = np.random.default_rng(0)
    corners = 50.0 * np.eye(4)
    targets = corners[rng.integers(0, 4, 400)] + rng.normal(size=(400, 4))
    centres = motion.cluster_centres(targets, 4)
    np.testing.assert_allclose(np.sort(centres @ np.ones(4)), [50] * 4, atol=1)

    def index(x):
        return motion.shannon_index(motion.cluster_counts(x, centres))

    assert index(corners[:1].repeat(9, axis=0)) == 0
    np.testing.assert_allclose(index(corners[:2].repeat(9, axis=0)), 1)
    np.testing.assert_allclose(index(corners), 2)


def test_more_clusters_than_frames():
    with pytest.raises(ValueError, match="40 clusters"):
        motion.cluster_centres(walk(10), 40)
    with pytest.raises(ValueError, match="not 10"):
        motion.cluster_centres(np.tile(walk(10), (8, 1)), 40)
