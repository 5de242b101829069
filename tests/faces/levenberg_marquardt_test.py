"""Levenberg-Marquardt against closed forms and SciPy, on random problems."""

import numpy as np
import pytest
import scipy.optimize

from lhg_jax.faces.levenberg_marquardt import huber_weights, minimise


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def linear(rng, problems=5, rows=30, unknowns=3):
    """Random matrices [problem, row, unknown] and targets with a few wild rows."""
    matrix, target = rng.normal(size=(problems, rows, unknowns)), rng.normal(size=(problems, rows))
    target[:, ::7] += 20
    return matrix, target


def solve_linear(matrix, target, **options):
    def residual(x):
        return np.einsum("prj,pj->pr", matrix, x) - target

    start = np.zeros((len(matrix), matrix.shape[-1]))
    return minimise(residual, lambda _: matrix.swapaxes(1, 2), start, **options)


def test_a_linear_problem_with_a_prior_is_ridge_regression(rng):
    matrix, target = linear(rng)
    prior = np.array([0.0, 3.0, 50.0])
    x = solve_linear(matrix, target, prior=prior, huber=1e9, steps=20)
    for a, y, got in zip(matrix, target, x, strict=True):
        np.testing.assert_allclose(got, np.linalg.solve(a.T @ a + np.diag(prior), a.T @ y), atol=1e-8)


def test_wild_rows_count_as_in_scipy(rng):
    matrix, target = linear(rng)
    x = solve_linear(matrix, target, prior=np.zeros(3), huber=1.5, steps=100)
    for a, y, got in zip(matrix, target, x, strict=True):
        want = scipy.optimize.least_squares(
            lambda v, a=a, y=y: a @ v - y, np.zeros(3), loss="huber", f_scale=1.5, xtol=1e-12, gtol=1e-12
        ).x
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_curved_problem_from_far_away(rng):
    """y = a exp(b t): from this start, steps that are always taken end at a singular matrix."""
    times, truth = np.linspace(0, 2, 25), np.stack([rng.uniform(0.5, 3, 8), rng.uniform(-2, 1, 8)], axis=1)

    def curve(x):
        return x[:, :1] * np.exp(x[:, 1:] * times)

    def jacobian(x):
        grown = np.exp(x[:, 1:] * times)
        return np.stack([grown, x[:, :1] * times * grown], axis=1)

    target, start = curve(truth), np.tile([1.0, -4.0], (8, 1))
    x = minimise(lambda x: curve(x) - target, jacobian, start, prior=np.zeros(2), huber=1e9, steps=60)
    np.testing.assert_allclose(x, truth, atol=1e-6)


def test_no_step_makes_it_worse_and_none_looks_at_another_problem(rng):
    matrix, target = linear(rng)
    alone = solve_linear(matrix[2:3], target[2:3], prior=np.zeros(3), huber=1.5, steps=4)
    together = solve_linear(matrix, target, prior=np.zeros(3), huber=1.5, steps=4)
    np.testing.assert_allclose(together[2:3], alone, atol=1e-12)

    def losses(steps):
        x = solve_linear(matrix, target, prior=np.zeros(3), huber=1.5, steps=steps)
        r = np.abs(np.einsum("prj,pj->pr", matrix, x) - target)
        return np.where(r < 1.5, r**2, 3 * r - 1.5**2).sum(1)

    descent = np.stack([losses(steps) for steps in range(6)])
    assert (np.diff(descent, axis=0) < 1e-9).all()


def test_weights_are_one_inside_and_fall_outside():
    np.testing.assert_allclose(huber_weights(np.array([0.0, -1.0, 2.0, -8.0]), 2.0), [1, 1, 1, 0.25])
