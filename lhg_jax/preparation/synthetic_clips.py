"""Synthetic dyads as clips to be made; apart from the simulator, which needs no text encoder."""

import dataclasses
import hashlib

from lhg_jax.data.schema import ClipInfo, Example, make_example
from lhg_jax.simulator.dyads import DyadParams, dyads_for_hours, split_seed, synthesise
from lhg_jax.speech.bert import shared_encoder
from lhg_jax.speech.words import to_json


@dataclasses.dataclass(frozen=True)
class SyntheticJob:
    """Dyad `index` of the set `seed`; see `jobs.Job`."""

    seed: int
    index: int
    split: str

    @property
    def uuid(self) -> str:
        """As `synthesise` names it."""
        return f"synthetic-{self.seed}-{self.index:06d}"

    @property
    def key(self) -> str:
        """Changes with every parameter of the simulator."""
        return hashlib.sha256(repr((self.seed, self.index, DyadParams())).encode()).hexdigest()[:24]

    def make(self) -> tuple[Example, ClipInfo]:
        """Simulates the dyad."""
        dyad = synthesise(self.seed, self.index)
        info = ClipInfo(
            uuid=dyad.uuid,
            attitude=dyad.attitude,
            space=dyad.listener.space.name,
            motion_source="simulated",
            transcript=to_json(dyad.words),
        )
        return make_example(dyad, shared_encoder()), info


def synthetic_jobs(hours: float, seed: int, split: str) -> list[SyntheticJob]:
    """The dyads that make up `hours` of a split of the set `seed`."""
    number = split_seed(seed, split)
    return [SyntheticJob(number, index, split) for index in range(dyads_for_hours(hours))]
