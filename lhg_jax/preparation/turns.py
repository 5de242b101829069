"""Who speaks when in a conversation, and the passages in which one speaks and others listen."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from lhg_jax.motion import FRAME_RATE

SHORTEST_S, LONGEST_S = 8.0, 20.0  # of a passage
PAUSE_S = 2.0  # a longer one ends what somebody says
BREATH_S = 0.3  # a shorter pause between words of one person is none
LEAD_S, TAIL_S = 0.5, 1.5  # before the first and after the last sound; most reactions come within a second
LEAST_LISTENING = 0.5  # share of a passage in which the listener is silent, and nobody but the speaker talks


class Span(NamedTuple):
    """From `start_s` up to `end_s`, seconds."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s


Voices = Mapping[str, Sequence[Span]]  # of each person, when they speak or laugh


class Passage(NamedTuple):
    """A stretch in which `speaker` holds the floor."""

    speaker: str
    span: Span


def joined(spans: Iterable[Span], pause_s: float = 0.0) -> list[Span]:
    """In order, those with no more than a pause between them made one; empty ones are left out."""
    merged: list[Span] = []
    for span in sorted(span for span in spans if span.length_s > 0):
        if merged and span.start_s - merged[-1].end_s <= pause_s:
            merged[-1] = Span(merged[-1].start_s, max(merged[-1].end_s, span.end_s))
        else:
            merged.append(span)
    return merged


def passages(voices: Voices, end_s: float) -> list[Passage]:
    """The passages of a conversation that lasts until `end_s`, by speaker and time."""
    found = []
    for speaker in sorted(voices):
        for said in _stretches(joined(voices[speaker])):
            for first_s, last_s in _pieces(said):
                span = Span(max(first_s - LEAD_S, 0.0), min(last_s + TAIL_S, end_s))
                if span.length_s >= SHORTEST_S:
                    found.append(Passage(speaker, span))
    return found


def _stretches(spans: Sequence[Span]) -> list[list[Span]]:
    """What somebody says, in groups without a long pause inside."""
    stretches: list[list[Span]] = []
    for span in spans:
        if stretches and span.start_s - stretches[-1][-1].end_s <= PAUSE_S:
            stretches[-1].append(span)
        else:
            stretches.append([span])
    return stretches


def _pieces(said: Sequence[Span]) -> Iterator[tuple[float, float]]:
    """Start and end of parts of a stretch that are no longer than a passage, cut at the longest pauses."""
    longest_s = LONGEST_S - LEAD_S - TAIL_S
    said = [part for span in said for part in _equal_parts(span, longest_s)]
    while said:
        start_s = said[0].start_s
        cut = len(said)
        if said[-1].end_s - start_s > longest_s:
            pauses = (
                (before.end_s - start_s >= SHORTEST_S, after.start_s - before.end_s, number)
                for number, (before, after) in enumerate(itertools.pairwise(said), 1)
                if before.end_s - start_s <= longest_s
            )
            cut = max(pauses)[-1]
        yield start_s, said[cut - 1].end_s
        said = said[cut:]


def _equal_parts(span: Span, longest_s: float) -> list[Span]:
    """A voice that never pauses, in as few parts as it takes."""
    edges_s = np.linspace(*span, 1 + math.ceil(span.length_s / longest_s - 1e-9)).tolist()
    return [Span(a, b) for a, b in itertools.pairwise(edges_s)]


def others_heard(voices: Voices, speaker: str, span: Span) -> list[Span]:
    """When anybody but the speaker is heard, in seconds from the start of the span; breaths are bridged."""
    others = joined(
        part for person, parts in voices.items() if person != speaker for part in joined(parts, BREATH_S)
    )
    cut = (Span(max(a, span.start_s), min(b, span.end_s)) for a, b in others)
    return [Span(a - span.start_s, b - span.start_s) for a, b in cut if b > a]


def frames_in(spans: Iterable[Span], frames: int) -> Bool[np.ndarray, "frames"]:
    """Whether any part of each frame lies in one of the spans (s from the start of the clip)."""
    starts_s = np.arange(frames) / FRAME_RATE
    inside = np.zeros(frames, bool)
    for start_s, end_s in spans:
        inside |= (starts_s < end_s) & (starts_s + 1 / FRAME_RATE > start_s)
    return inside


def is_listening(heard: Iterable[Span], span: Span) -> bool:
    """Whether enough of a passage is left when what `others_heard` gives is taken away."""
    return sum(part.length_s for part in heard) <= (1 - LEAST_LISTENING) * span.length_s
