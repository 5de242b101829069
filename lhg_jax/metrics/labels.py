"""Nods and shakes against those that people have labelled (AMI), kept in prepared clips."""

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lhg_jax.data.gestures import Gesture, from_json
from lhg_jax.data.joined import open_sources
from lhg_jax.metrics.listening import Scores
from lhg_jax.metrics.reactions import DEFAULT_PROFILE, KINDS, Event, Matches, detect, match, reaction_scores
from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.util.errors import UserError


class Labels(NamedTuple):
    """Of one clip: the listener's gestures, and the frames (30/s) in which they count as listening."""

    gestures: list[Gesture]
    listening: Bool[np.ndarray, "frames"]


def read_labels(folder: str | os.PathLike) -> Mapping[str, Labels]:
    """The labelled clips of a prepared folder (or several, with commas), by name.

    Raises `UserError` where the folder cannot be read, or no clip of it is labelled.
    """
    source = open_sources(str(folder))
    found = {}
    for number, uuid in enumerate(source.metadata.uuids):
        try:
            gestures = from_json(source.info(number).gestures)
        except (ValueError, TypeError) as error:
            raise UserError(f"{folder}: the labels of {uuid} cannot be read ({error})") from None
        if gestures is not None:
            found[uuid] = Labels(gestures, np.asarray(source[number].listener_seen))
    if not found:
        raise UserError(f"{folder}: no clip has labelled gestures (only those of --source ami can)")
    return found


def add_label_metrics(
    motions: Mapping[str, Iterable[Float[np.ndarray, "_ _"]]],
    names: Iterable[str],
    labels: Mapping[str, Labels],
    summary: Scores,
) -> None:
    """`nod_label_r_f1` ... `shake_label_r_atd` of the clips that are labelled.

    Those of the true listeners say how well the detector itself finds what people see: the best to expect.

    Args:
      motions: prediction, reference: one landmark motion a clip.
      names: of these clips.
      labels: of `read_labels`.
      summary: gets the numbers.
    """
    names = list(names)
    for kind in KINDS:
        for role, values in (("prediction", summary.values), ("reference", summary.reference_values)):
            clips = [
                _matches(motion, labels[name], kind)
                for name, motion in zip(names, motions[role], strict=True)
                if name in labels
            ]
            for score, value in reaction_scores(clips).items():
                values[f"{kind}_label_{score}"] = value if np.isfinite(value) else None
                count = sum(clip.true for clip in clips)
                summary.notes[f"{kind}_label_{score}"] = (
                    f"profile {DEFAULT_PROFILE}; {count} labels in {len(clips)} clips"
                )


def _matches(motion: Float[np.ndarray, "_ _"], labels: Labels, kind: str) -> Matches:
    """Detected events against labels; while the listener does not listen, neither counts."""
    true = [Event(g.start_s, g.end_s) for g in labels.gestures if g.kind == kind]
    found = detect(Motion(LANDMARK, np.asarray(motion)), kind)
    return match(*([event for event in some if _counts(event, labels.listening)] for some in (found, true)))


def _counts(event: Event, listening: Bool[np.ndarray, "frames"]) -> bool:
    """Whether the listener listens in the middle of an event."""
    frame = int((event.start_s + event.end_s) / 2 * FRAME_RATE)
    return frame < len(listening) and bool(listening[frame])
