"""Robust nonlinear least squares for many small problems at once: Levenberg-Marquardt with Huber's loss.

Each frame of a clip is a problem of its own in six unknowns, and a clip has thousands of them;
scipy.optimize.least_squares takes one a call. NumPy in float64, so that nothing is compiled for each length
of clip, and a single picture of a live session is fitted at once.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

DAMPING = 1e-3  # at first; a tenth of it after a step that helped, ten times it after one that did not

Parameters = Float[np.ndarray, "problem parameter"]
Residual = Float[np.ndarray, "problem residual"]
Jacobian = Float[np.ndarray, "problem parameter residual"]


def minimise(
    residual: Callable[[Parameters], Residual],
    jacobian: Callable[[Parameters], Jacobian],
    start: Parameters,
    *,
    prior: Float[np.ndarray, "parameter"],
    huber: float,
    steps: int,
) -> Parameters:
    """Minimises sum_i rho(r_i(x)) + sum_j prior_j x_j^2 of each problem; none looks at another.

    Args:
      residual: r of all problems.
      jacobian: its derivatives.
      start: x to begin with.
      prior: inverse variances about 0, >= 0.
      huber: rho is r^2 up to here and linear beyond, in the residual's unit, > 0.
      steps: tried by every problem. One that would not lower the loss is not taken; the next is shorter.

    Returns:
      x.
    """
    x, r, damping = start, residual(start), np.full(len(start), DAMPING)
    for _ in range(steps):
        weights = huber_weights(r, huber)
        trial = x - _step(jacobian(x), weights, r, prior, x, damping)
        trial_r = residual(trial)
        is_better = _loss(weights, trial_r, prior, trial) < _loss(weights, r, prior, x)
        x, r = (np.where(is_better[:, None], new, old) for new, old in ((trial, x), (trial_r, r)))
        damping = np.where(is_better, damping / 10, damping * 10)
    return x


def huber_weights(residual: Float[np.ndarray, "*any"], huber: float) -> Float[np.ndarray, "*any"]:
    """Weights with which least squares has the gradient of Huber's loss at this residual, in (0, 1]."""
    return np.minimum(1.0, huber / np.maximum(np.abs(residual), 1e-9))


def _step(
    jacobian: Jacobian,
    weights: Residual,
    residual: Residual,
    prior: Float[np.ndarray, "parameter"],
    x: Parameters,
    damping: Float[np.ndarray, "problem"],
) -> Parameters:
    """Gauss-Newton's step, its normal equations with a heavier diagonal (Marquardt 1963)."""
    weighted = jacobian * weights[:, None]
    hessian = weighted @ jacobian.swapaxes(1, 2) + np.diag(prior)
    gradient = (weighted @ residual[..., None])[..., 0] + prior * x
    diagonal = np.arange(len(prior))
    hessian[:, diagonal, diagonal] *= 1 + damping[:, None]
    return np.linalg.solve(hessian, gradient[..., None])[..., 0]


def _loss(
    weights: Residual, residual: Residual, prior: Float[np.ndarray, "parameter"], x: Parameters
) -> Float[np.ndarray, "problem"]:
    return (weights * residual**2).sum(1) + (prior * x**2).sum(1)
