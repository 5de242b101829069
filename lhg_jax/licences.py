"""May this be used commercially? What the licences of the chosen stages' weights say of it.

This is what the weights' authors state, and no legal advice; what they trained on is theirs to answer for.
"""

import dataclasses
from collections.abc import Iterable
from typing import Literal

Answer = Literal["yes", "no", "ask"]


@dataclasses.dataclass(frozen=True)
class Licence:
    """What one choice means for commercial use.

    Attributes:
      answer: yes, no, or ask (the author states no licence, or the user's own file has one).
      why: whose the weights are, and the licence.
      instead: an option that may be used, where there is one.
    """

    answer: Answer
    why: str
    instead: str = ""

    @property
    def reason(self) -> str:
        """Why, and the way out."""
        return f"{self.why}; instead: {self.instead}" if self.instead else self.why


ALWAYS = {
    "listener (demo)": Licence("yes", "trained by this project on synthetic dyads: Apache-2.0"),
    "face detector": Licence("yes", "dlib's, part of its code: Boost Software Licence"),
    "word vectors": Licence("yes", "all-MiniLM-L6-v2: Apache-2.0"),
    "speech recognition": Licence("yes", "PocketSphinx: BSD-2-Clause"),
}
TRACKERS = {
    "dlib": Licence("no", "68 landmarks trained on iBUG 300-W: research use only", "--tracker tddfa"),
    "tddfa": Licence("yes", "3DDFA_V2: MIT; its 68 points: this project, Apache-2.0"),
}
RENDERERS = {
    "mesh": Licence("yes", "has no weights"),
    "liveportrait": Licence("yes", "LivePortrait: MIT"),
    "pirenderer": Licence("no", "PIRenderer: CC BY-NC 4.0", "--renderer mesh or liveportrait"),
    "faceshop": Licence("ask", "3DFaceShop: no licence is stated", "--renderer mesh or liveportrait"),
}
RESTORERS = {
    "none": Licence("yes", "has no weights"),
    "rvrt": Licence("no", "RVRT: CC BY-NC 4.0", "--restore none"),
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A stage as it was chosen, e.g. `--tracker` and `dlib`."""

    option: str
    name: str
    licence: Licence


def choices(tracker: str, renderer: str, restore: str) -> list[Choice]:
    """The stages of `sample` with these options."""
    chosen = [
        Choice("--tracker", tracker, TRACKERS[tracker]),
        Choice("--renderer", renderer, RENDERERS[renderer]),
        Choice("--restore", restore, RESTORERS[restore]),
    ]
    return chosen + [Choice(stage, "", licence) for stage, licence in ALWAYS.items()]


def verdict(chosen: Iterable[Choice]) -> str:
    """One line: whether all of it may be used commercially; if not, why not, and what to take instead."""
    chosen = list(chosen)
    title = "commercial use with " + " ".join(f"{c.option} {c.name}" for c in chosen if c.name)
    against = [c for c in chosen if c.licence.answer != "yes"]
    if not against:
        return f"{title}: yes, by the licences of the weights"
    answer = "no" if any(c.licence.answer == "no" for c in against) else "ask the authors"
    reasons = [f"{c.option} {c.name} ({c.licence.reason})" for c in against]
    return f"{title}: {answer}: {', '.join(reasons)}"
