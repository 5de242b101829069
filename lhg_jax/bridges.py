"""Bridges: a motion in one coefficient space as one in another, so that any listener drives any renderer.

Angles go over in closed form: both spaces measure the same turns, each with signs and a scale of its own and
another zero, so a change since the portrait goes over times a constant. Expressions go over by a linear map,
fitted by ridge regression on faces tracked in both spaces (`fit_bridge.py`), again between changes since the
portrait; so does the little that one tracker counts as a turn of the head and the other as expression.
What a bridge loses stands in its file: correlations with direct tracking on clips that were left out.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from lhg_jax.motion import SPACES, CoefficientSpace, Motion, require_same_space
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights, save_weights

FOLDER = Path(__file__).parent / "assets" / "bridges"
# What a space says of a turn that is 1 in `landmark` (face_model.rotation), for pitch, yaw and roll: signs as
# the trackers' modules say. 3DDFA_V2 sees a nod as small as dlib's landmarks show it, which our tracker makes
# up for (faces/landmark.py).
ANGLES = {
    "landmark": (1, 1, 1),
    "liveportrait": (1, 1, 1),
    "tddfa": (0.8, 1, -1),
    "deep3d": (1, -1, -1),
    "deep3d_crop": (1, -1, -1),
}


@dataclasses.dataclass(frozen=True)
class Bridge:
    """A map between two spaces.

    Attributes:
      source, target: spaces.
      expression: [exp of source, exp of target] linear map of changes.
      turning: [exp of source, angle] what a change of expression adds to the angles, rad.
      correlation: of the bridged with the directly tracked motion, for each angle and for the actions that
        the bridge carries, on clips left out of the fit.
    """

    source: CoefficientSpace
    target: CoefficientSpace
    expression: Float[np.ndarray, "source_exp target_exp"]
    turning: Float[np.ndarray, "source_exp 3"]
    correlation: dict[str, float]

    def __call__(
        self,
        motion: Motion,
        reference: Float[np.ndarray, "source_coeff"],
        target_reference: Float[np.ndarray, "target_coeff"],
    ) -> Motion:
        """A motion in the target space.

        Args:
          motion: in the source space.
          reference: the portrait in the source space.
          target_reference: the same portrait in the target space.

        Raises:
          UserError: the motion is in another space.
        """
        require_same_space("the motion", motion.space, "the bridge", self.source)
        change = motion.values - reference
        values = np.repeat(target_reference[None].astype(np.float64), len(motion), axis=0)
        exp, angle = change[:, self.source.slice("exp")], change[:, self.source.slice("angle")]
        factors = angle_factors(self.source, self.target)
        values[:, self.target.slice("exp")] += exp @ self.expression
        values[:, self.target.slice("angle")] += angle * factors + exp @ self.turning
        return dataclasses.replace(motion, space=self.target, values=values.astype(np.float32))

    def describe(self) -> str:
        """One line for the user: which way, and how well."""
        return (
            f"the motion is in {self.source.name!r}, the renderer in {self.target.name!r}: a bridge leads "
            f"over (weakest correlations with direct tracking: {self.weakest}; translation is left out)"
        )

    @property
    def weakest(self) -> str:
        """The three correlations that are lowest."""
        lowest = sorted(self.correlation.items(), key=lambda item: item[1])[:3]
        return ", ".join(f"{name} {value:.2f}" for name, value in lowest)


def angle_factors(source: CoefficientSpace, target: CoefficientSpace) -> Float[np.ndarray, "3"]:
    """What pitch, yaw and roll are multiplied by on the way from one space to the other."""
    ours, theirs = ANGLES[source.name], ANGLES[target.name]
    return np.array(theirs, float) / np.array(ours, float)


def save_bridge(path: Path, bridge: Bridge) -> None:
    """Writes a bridge as safetensors."""
    notes = {
        "source": bridge.source.name,
        "target": bridge.target.name,
        "correlation": json.dumps(bridge.correlation),
    }
    maps = {"expression": bridge.expression, "turning": bridge.turning}
    save_weights(path, {name: np.asarray(x, np.float32) for name, x in maps.items()}, notes)


def load_bridge(path: Path) -> Bridge:
    """Reads a bridge. Raises `UserError` for other files."""
    variables, notes = load_weights(path)
    try:
        source, target = SPACES[notes["source"]], SPACES[notes["target"]]
        correlation = {name: float(value) for name, value in json.loads(notes["correlation"]).items()}
        expression, turning = (np.asarray(variables[name]) for name in ("expression", "turning"))
    except (KeyError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: not a bridge written by `python -m lhg_jax.fit_bridge` ({error!r})"
        ) from error
    sizes = tuple(space.slice("exp").stop - space.slice("exp").start for space in (source, target))
    if expression.shape != sizes or turning.shape != (sizes[0], 3):
        raise UserError(
            f"{path}: maps of shapes {expression.shape} and {turning.shape}, not {sizes} and {(sizes[0], 3)}"
        )
    return Bridge(source, target, expression, turning, correlation)


def find_bridge(source: CoefficientSpace, target: CoefficientSpace, folder: Path = FOLDER) -> Bridge | None:
    """The bridge from one space to the other, of the package or of `folder`; None where there is none."""
    path = folder / f"{source.name}_to_{target.name}.safetensors"
    return load_bridge(path) if path.is_file() else None


def fit_map(
    source: Float[np.ndarray, "frames source_exp"],
    target: Float[np.ndarray, "frames wanted"],
    ridge: float = 1e-2,
) -> Float[np.ndarray, "source_exp wanted"]:
    """The linear map of changes, by ridge regression.

    Args:
      source: changes of expression, each clip's mean removed.
      target: what to predict in the same frames, in the other space.
      ridge: penalty relative to the mean variance of a source coefficient.
    """
    covariance = source.T @ source / len(source)
    penalty = ridge * np.trace(covariance) / len(covariance)
    return np.linalg.solve(covariance + penalty * np.eye(len(covariance)), source.T @ target / len(source))
