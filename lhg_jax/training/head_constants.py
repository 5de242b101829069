"""What a flow head is given before it learns (`chunks.Constants`), measured on a training set."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lhg_jax.models.chunks import Constants, approach, to_components
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.training.head_loss import ChunkStream
from lhg_jax.training.trunk_features import TrunkFeatures

LEAST_SCALE = 0.1  # of a component, as a share of the largest one's: what hardly moves is not blown up
FIT_FRAMES = 100_000  # enough for the components, evenly spread over the set
FIT_CHUNKS = 40_000  # at random, for the forecast
LEAST_PACE = 1e-3  # of a component in a frame
LEAST_INNOVATION = 1e-3
RIDGE = 1e-4  # of the forecast's inputs' mean square


class Components(NamedTuple):
    """Principal components of residuals in units of `unit`.

    Attributes:
      basis: orthonormal columns.
      scale: size of each component.
      largest: in units of `scale`, exceeded in one frame of a thousand.
      share: of the variance of all coefficients.
    """

    basis: Float[np.ndarray, "coeff component"]
    scale: Float[np.ndarray, "component"]
    largest: Float[np.ndarray, "component"]
    share: float


class Measured(NamedTuple):
    """A training set's constants.

    Attributes:
      constants: for `FlowHead`.
      importance: of each innovation in the loss; 1 on average.
      share: `Components.share`.
    """

    constants: Constants
    importance: Float[np.ndarray, "innovation"]
    share: float


def measure(
    features: TrunkFeatures,
    unit: Float[np.ndarray, "coeff"],
    weight: Float[np.ndarray, "coeff"],
    config: FlowHeadConfig,
) -> Measured:
    """Constants of a training set.

    Args:
      features: residuals of these clips are measured.
      unit: size of each coefficient, in which components are principal.
      weight: how much a change of a coefficient by its unit matters.
      config: of the head.
    """
    found = principal_components(features, unit, config.components)
    analysis = (found.basis / unit[:, None] / found.scale).astype(np.float32)
    synthesis = ((found.basis * found.scale).T * unit).astype(np.float32)
    past, mean, chunk = _chunks(features, analysis, config)
    pace = np.maximum(np.diff(past, axis=1).std(axis=(0, 1)), LEAST_PACE)
    rows = np.asarray(approach(past, mean, config.memory), np.float64)
    rise = (chunk - past[:, -1:, : config.components]).reshape(len(rows), -1).astype(np.float64)
    weights = ridge(rows, rise)
    whiten, colour = whitening(rise - rows @ weights, config.innovations)
    moved = colour.reshape(-1, config.chunk, config.components) @ (synthesis / unit * weight)
    importance = np.sqrt(np.square(moved).sum(axis=(1, 2)))
    constants = Constants(analysis, synthesis, found.largest, pace, weights, whiten, colour)
    constants = Constants(*(np.asarray(x, np.float32) for x in constants))
    return Measured(constants, (importance / importance.mean()).astype(np.float32), found.share)


def principal_components(features: TrunkFeatures, unit: Float[np.ndarray, "coeff"], count: int) -> Components:
    """The largest `count` components of a training set's residuals."""
    step = -(-len(features.mean) // FIT_FRAMES)
    rows = (features.target[::step] - features.mean[::step]).astype(np.float64) / unit
    eigenvalues, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    largest = np.maximum(eigenvalues[::-1][:count], 1e-12)
    scale = np.maximum(np.sqrt(largest), LEAST_SCALE * np.sqrt(largest[0]))
    basis = vectors[:, ::-1][:, :count]
    extreme = np.quantile(np.abs(rows @ basis / scale), 0.999, axis=0)
    return Components(basis, scale, extreme, float(largest.sum() / np.maximum(eigenvalues.sum(), 1e-12)))


def _chunks(features: TrunkFeatures, analysis: Float[np.ndarray, "coeff component"], config: FlowHeadConfig):
    """Past (residual and mean), mean and residual of many chunks, in components."""
    variables = {"constants": {"analysis": analysis}}
    batch = next(ChunkStream(features, config, batch_size=FIT_CHUNKS, seed=0))
    mean, residual = (
        np.asarray(to_components(variables, x))[batch.seen] for x in (batch.mean, batch.residual)
    )
    past, following = np.split(np.concatenate([residual, mean], axis=-1), [config.history], axis=1)
    k = config.components
    return past, following[..., k:], following[..., :k]


def ridge(
    rows: Float[np.ndarray, "chunks inputs"], targets: Float[np.ndarray, "chunks outputs"]
) -> Float[np.ndarray, "inputs outputs"]:
    """Least squares with a small penalty, so that inputs that hardly ever move have no say."""
    gram = rows.T @ rows
    penalty = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + penalty, rows.T @ targets)


def whitening(
    innovations: Float[np.ndarray, "chunks outputs"], count: int
) -> tuple[Float[np.ndarray, "outputs innovations"], Float[np.ndarray, "innovations outputs"]]:
    """Matrices that make the `count` largest parts of innovations uncorrelated and of size 1, and back."""
    eigenvalues, vectors = np.linalg.eigh(innovations.T @ innovations / len(innovations))
    sizes = np.sqrt(np.maximum(eigenvalues[::-1][:count], LEAST_INNOVATION**2))
    vectors = vectors[:, ::-1][:, :count]
    return vectors / sizes, (vectors * sizes).T
