"""Gestures of a listener that a person has labelled, kept with the clip (`ClipInfo.gestures`)."""

import json
from collections.abc import Sequence
from typing import NamedTuple


class Gesture(NamedTuple):
    """One movement of the head.

    Attributes:
      kind: `nod`, `shake`, or `other`.
      start_s, end_s: from the start of the clip.
      name: what the labellers called it.
    """

    kind: str
    start_s: float
    end_s: float
    name: str = ""


def to_json(gestures: Sequence[Gesture] | None) -> str:
    """For `ClipInfo.gestures`; times to the millisecond. None: nobody has looked, the empty text."""
    if gestures is None:
        return ""
    return json.dumps([[g.kind, round(g.start_s, 3), round(g.end_s, 3), g.name] for g in gestures])


def from_json(text: str) -> list[Gesture] | None:
    """What `to_json` wrote. Raises ValueError or TypeError for anything else."""
    return [Gesture(*row) for row in json.loads(text)] if text else None
