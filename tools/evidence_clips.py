"""Held-out dyads of the evidence benchmark with all that is known of them, and listeners to compare with."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure_listeners import dyads_of
from trivial_listeners import nearest_audio

from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.simulator.benchmark import Listens, TestClip, trivial_listeners
from lhg_jax.simulator.dyads import keep_rules_again

CEILING = "rules_again"  # the rules, with other noise and other random blinks


@dataclasses.dataclass(frozen=True)
class ClipOptions:
    """A sweep, and the held-out clips of its grid."""

    sweep: Path
    """Folder of tools/sweep.py."""
    speech: Path
    """Recordings that the clips were made of (`prepare --speech`)."""
    speech_cache: Path = Path("out/synthetic/speech")
    """Folder of the recordings once analysed (`prepare --speech-cache`)."""
    clips: Path = Path("out/evidence/test")
    """Held-out clips."""


class HeldOut(NamedTuple):
    """Clips of speakers that no training clip has.

    Attributes:
      source: the prepared clips.
      clips: dyads, and what a model sees of them.
      causal: the same dyads, as a listener that hears no future sees them; empty where they are not prepared.
      speakers: who speaks in each.
    """

    source: RecordSource
    clips: list[TestClip]
    causal: list[TestClip]
    speakers: list[str]

    def seen_by(self, causal: bool) -> list[TestClip]:
        """The clips as such a listener sees them."""
        return self.causal if causal else self.clips


def held_out(folder: Path, causal: Path, speech: Path, cache: Path, limit: int) -> HeldOut:
    """The first `limit` clips of a prepared folder, simulated again from the recordings in `speech`.

    Raises `UserError` where other dyads come out.
    """
    source = open_source(folder)
    count = min(limit, len(source))
    dyads = dyads_of(source, count, speech, cache)
    clips = [TestClip(dyad, source[i]) for i, dyad in enumerate(dyads)]
    speakers = [source.info(i).speaker_id for i in range(count)]
    if not (causal / "metadata.json").exists():
        return HeldOut(source, clips, [], speakers)
    other = open_source(causal)
    place = {uuid: i for i, uuid in enumerate(other.metadata.uuids)}
    heard = [TestClip(dyad, other[place[dyad.uuid]]) for dyad in dyads]
    return HeldOut(source, clips, heard, speakers)


def references(clips: Sequence[TestClip], train: Path | None) -> Mapping[str, Listens]:
    """Listeners that hear nothing, the true one, and the true one with other noise."""

    def again(clip: TestClip) -> np.ndarray:
        return keep_rules_again(clip.dyad, 0).values

    found = dict(trivial_listeners(clips))
    found["simulator"] = found.pop("simulator (ceiling)")
    found = {name.replace(" ", "_"): listens for name, listens in found.items()}
    if train is not None:
        found["nearest_audio"] = nearest_audio(open_source(train))
    return {**found, CEILING: again}
