"""Metrics that ask whether a listener listens, for a whole evaluation: per video, reactions, reactivity."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from lhg_jax.metrics import per_video
from lhg_jax.metrics.reactions import DEFAULT_PROFILE, KINDS, Matches, detect, match, reaction_scores
from lhg_jax.metrics.reactivity import Clip, listener_signals, reactivity
from lhg_jax.motion import LANDMARK, CoefficientSpace, Motion

Values = Float[np.ndarray, "_ _"]  # clips differ in length
SHORT = "needs two clips of more than 5 s with videos of the speakers (--speakers)"


@runtime_checkable
class Scores(Protocol):
    """What numbers are written into: a `summary.Summary`."""

    values: dict[str, float | None]
    reference_values: dict[str, float | None]
    notes: dict[str, str]


def add_video_metrics(motions: Mapping[str, Iterable[Values]], group: str, summary: Scores) -> None:
    """Those of `per_video` for one group of coefficients.

    Args:
      motions: prediction, reference, speaker: one array a clip; no speaker or one for each clip.
      group: of coefficients, in front of the names.
      summary: gets the numbers.
    """
    predictions, targets, speakers = (list(motions[role]) for role in ("prediction", "reference", "speaker"))
    values = {
        "fd_video": per_video.fd_video(predictions, targets),
        "var_flat": per_video.var_flat(predictions),
    }
    if speakers and len(speakers) == len(predictions):
        triple = predictions, targets, speakers
        values["pfd_video"] = per_video.pfd_video(*triple)
        values["rpcc_pooled"] = per_video.rpcc_pooled(*triple)
        values["rpcc_video"] = per_video.rpcc_video(*triple)
    for name in ("fd_video", "pfd_video", "var_flat", "rpcc_pooled", "rpcc_video"):
        value = values.get(name, float("nan"))
        summary.values[f"{group}_{name}"] = value if np.isfinite(value) else None
        if not np.isfinite(value):
            needs_speaker = predictions and name not in ("fd_video", "var_flat")
            summary.notes[f"{group}_{name}"] = (
                "needs a video of every clip's speaker (--speakers)"
                if needs_speaker
                else "no clip was tracked"
            )
    if predictions:
        summary.reference_values[f"{group}_var_flat"] = per_video.var_flat(targets)


def add_reaction_metrics(motions: Mapping[str, Iterable[Values]], summary: Scores) -> None:
    """R-F1, R-tIoU and R-ATD of nods and shakes, and `reactivity_*`, of landmark motions."""
    predictions, targets, speakers = (list(motions[role]) for role in ("prediction", "reference", "speaker"))
    for name, value in reaction_metrics(predictions, targets, LANDMARK).items():
        summary.values[name] = value if np.isfinite(value) else None
        summary.notes[name] = f"profile {DEFAULT_PROFILE}" + ("" if np.isfinite(value) else "; no events")
    has_speakers = len(speakers) == len(predictions)
    gains = {}
    for role, listeners in (("values", predictions), ("reference_values", targets)):
        clips = list(_conversations(listeners, targets, speakers)) if has_speakers else []
        gains[role] = reactivity(clips)
    for name, value in gains["values"].items():
        summary.values[f"reactivity_{name}"] = value if np.isfinite(value) else None
        summary.reference_values[f"reactivity_{name}"] = gains["reference_values"][name]
        if not np.isfinite(value):
            summary.notes[f"reactivity_{name}"] = SHORT


def reaction_metrics(
    predictions: Sequence[Values],
    targets: Sequence[Values],
    space: CoefficientSpace,
    profile: str = DEFAULT_PROFILE,
) -> dict[str, float]:
    """`nod_r_f1` ... `shake_r_atd`, events of a profile pooled over clips."""
    scores: dict[str, float] = {}
    for kind in KINDS:
        matches = list(event_matches(predictions, targets, space, kind, profile))
        scores |= {f"{kind}_{name}": value for name, value in reaction_scores(matches).items()}
    return scores


def event_matches(
    predictions: Sequence[Values],
    targets: Sequence[Values],
    space: CoefficientSpace,
    kind: str,
    profile: str,
) -> Iterable[Matches]:
    """Detects and matches the events of each clip."""
    for prediction, target in zip(predictions, targets, strict=True):
        found, true = (
            detect(Motion(space, np.asarray(values)), kind, profile) for values in (prediction, target)
        )
        yield match(found, true)


def _conversations(
    listeners: Sequence[Values], targets: Sequence[Values], speakers: Sequence[Values]
) -> Iterable[Clip]:
    for triple in zip(listeners, targets, speakers, strict=True):
        yield Clip(*(listener_signals(Motion(LANDMARK, values)) for values in triple))
