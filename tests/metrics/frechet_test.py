import numpy as np
import pytest

from lhg_jax.metrics import frechet
from lhg_jax.metrics.frechet import Moments


def rows(count, size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)


def distance(a, b):
    return frechet.frechet_distance(Moments.of(a), Moments.of(b))


def test_equals_recordings(shared):
    data = np.load(shared / "golden/fid_and_fd.a.npz")
    prediction, target = Moments.of(data["in_feat_pred"]), Moments.of(data["in_feat_target"])
    np.testing.assert_allclose(
        frechet.frechet_distance(prediction, target), data["out_fid_exact"], rtol=1e-10
    )
    piq = frechet.frechet_distance_newton_schulz(prediction, target)
    np.testing.assert_allclose(piq, data["out_fid_piq"], rtol=1e-12)
    parts = {"all70": slice(0, 70), "angle3": slice(0, 3), "exp64": slice(3, 67), "trans3": slice(67, 70)}
    for length in ("T240", "T50"):
        a, b = data[f"in_coeff_pred_{length}"], data[f"in_coeff_target_{length}"]
        for name, part in parts.items():
            expected = data[f"out_fd_{name}_{length}"]
            np.testing.assert_allclose(distance(a[:, part], b[:, part]), expected, rtol=2e-8)


def test_closed_form_of_diagonal_gaussians():
    rng = np.random.default_rng(0)
    scale_a, scale_b, shift = rng.uniform(0.5, 2, (3, 5))
    white = rng.normal(size=(400, 5))
    white -= white.mean(0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T))).T  # unit covariance exactly
    expected = (shift**2).sum() + ((scale_a - scale_b) ** 2).sum()
    np.testing.assert_allclose(distance(white * scale_a, white * scale_b + shift), expected, rtol=1e-10)


def test_a_set_is_at_no_distance_from_itself_even_if_singular():
    a = rows(20, 50, seed=1)  # rank 19
    assert distance(a, a) < 1e-9
    assert distance(np.zeros((5, 3)), np.zeros((5, 3))) == 0


def test_equals_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = Moments.of(rows(90, 12, 2)), Moments.of(rows(70, 12, 3))
    root = linalg.sqrtm(a.covariance @ b.covariance).real
    shift = a.mean - b.mean
    expected = shift @ shift + np.trace(a.covariance + b.covariance - 2 * root)
    np.testing.assert_allclose(frechet.frechet_distance(a, b), expected, rtol=1e-8)


def test_moments_merge_to_those_of_all_rows():
    x = rows(101, 7, seed=4) + 1e4  # a large mean, where naive sums lose digits
    merged = Moments.of(x[:0])
    for piece in np.split(x, [1, 40, 40, 100]):
        merged = merged.merge(Moments.of(piece))
    assert merged.count == 101
    np.testing.assert_allclose(merged.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(merged.covariance, np.cov(x.T), rtol=1e-8, atol=1e-8)


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="two rows"):
        _ = Moments.of(rows(1, 3, 5)).covariance


def test_newton_schulz_of_constant_features():
    same = Moments.of(np.ones((4, 3)))
    assert frechet.frechet_distance_newton_schulz(same, same) == 0
