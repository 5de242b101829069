"""Options of `sample` that choose which listener is drawn, and the draw that they ask for."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from lhg_jax.util.cli import Maybe
from lhg_jax.util.errors import UserError

if TYPE_CHECKING:  # JAX takes seconds to import: not before the cheap errors
    from lhg_jax.generative import Draw
    from lhg_jax.listener_checkpoint import ListenerModel

TRAITS = ("liveliness", "nods", "smiles", "blinks")
MOST = 2.0  # factor beyond which a trait does not grow


@dataclasses.dataclass(frozen=True)
class DrawOptions:
    """Which of the listeners that would suit the speaker is drawn."""

    samples: int = 1
    """Make so many listeners, by seeds SEED, SEED + 1 ...; of more than one, files are numbered from 1."""
    seed: int = 0
    """Decides who the listener is and what they do."""
    temperature: Maybe[float] = None
    """0: the mean listener, who is the same for every seed; 1: as varied as people in the training set."""
    attitude: Maybe[Literal["positive", "neutral", "negative"]] = None
    """The listener's attitude to what is said; drawn by the seed by default."""
    liveliness: float = 1.0
    """How much the head moves besides nods and shakes: 0 not at all, 1 as learned, 2 most."""
    nods: float = 1.0
    """How much the listener nods: 0 none, 1 as learned, 2 most."""
    smiles: float = 1.0
    """How much the listener smiles: 0 none, 1 as learned, 2 most."""
    blinks: float = 1.0
    """How often the listener blinks: 0 none, 1 as learned, 2 most."""

    def check(self) -> None:
        """Raises `UserError` for values out of range, or for traits of a listener that is not drawn."""
        if self.samples < 1:
            raise UserError(f"--samples: {self.samples} is less than 1")
        if self.seed < 0:
            raise UserError(f"--seed: {self.seed} is negative")
        if self.temperature is not None and not 0 <= self.temperature <= MOST:
            raise UserError(f"--temperature: {self.temperature} is not in 0 to {MOST:g}")
        for name in TRAITS:
            if not 0 <= getattr(self, name) <= MOST:
                raise UserError(f"--{name}: {getattr(self, name)} is not in 0 to {MOST:g}")
        if self.temperature == 0 and (self.attitude or self.factors()):
            asked = "attitude" if self.attitude else next(iter(self.factors()))
            raise UserError(f"--{asked}: the mean listener (--temperature 0) has no traits to choose")

    def factors(self) -> dict[str, float]:
        """The traits that are not left as learned."""
        return {name: getattr(self, name) for name in TRAITS if getattr(self, name) != 1}

    def draw(self, model: "ListenerModel") -> "Draw":
        """The draw; `temperature` is 1 by default, 0 for a listener without a head to draw with.

        Raises `UserError` for options that need a head where there is none, and as `fading.check_space` does.
        """
        from lhg_jax.fading import check_space
        from lhg_jax.generative import Draw

        default = 0.0 if model.head is None else 1.0
        temperature = default if self.temperature is None else self.temperature
        if model.head is None and (temperature or self.factors() or self.attitude or self.samples > 1):
            raise UserError(
                "this listener has no flow head, so it cannot be varied (--samples, --temperature, "
                "--attitude and the traits need one: docs/training.md)"
            )
        check_space(model.space, self.factors())
        return Draw(self.seed, temperature, factors=self.factors(), attitude=self.attitude)
