"""Metrics of a listener on all held-out clips together: distances of distributions, reactions, reactivity."""

from collections.abc import Sequence

import numpy as np
from evidence_clips import HeldOut

from lhg_jax.metrics.frechet import Moments, frechet_distance
from lhg_jax.metrics.listening import reaction_metrics
from lhg_jax.metrics.liveliness import liveliness
from lhg_jax.metrics.motion import CLUSTERS, GROUPS, cluster_centres, cluster_counts, columns, shannon_index
from lhg_jax.metrics.per_video import fd_video, pfd_video, rpcc_video
from lhg_jax.metrics.reactivity import Clip, listener_signals, reactivity
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.training.head_evaluation import speaker_signals, variance_ratios

Motions = Sequence[np.ndarray]  # [frames, coeff] of each clip


def pooled_scores(motions: Motions, about: HeldOut) -> dict[str, float]:
    """Of one listener of each clip.

    `*_frechet` (frame 0 left out), `*_fd_video`, `*_pfd_video`, `*_rpcc_video`, `*_sid` and `*_variance`
    (ratios to the true listeners'), `nod_r_f1`, `shake_r_f1`, `reactivity_*`, `nods_per_min`, `speed`.
    """
    targets = [clip.dyad.listener.values for clip in about.clips]
    speakers = [clip.dyad.speaker.values for clip in about.clips]
    found: dict[str, float] = {}
    for group in GROUPS:
        own = columns(LANDMARK, group)
        ours, true, heard = ([values[:, own] for values in some] for some in (motions, targets, speakers))
        found |= {
            f"{group}_frechet": frechet_distance(moments(true), moments(ours)),
            f"{group}_fd_video": fd_video(ours, true),
            f"{group}_pfd_video": pfd_video(ours, true, heard),
            f"{group}_rpcc_video": rpcc_video(ours, true, heard),
            f"{group}_sid": sid_ratio(ours, true, CLUSTERS[group]),
        }
    found |= variance_ratios(list(motions), targets, LANDMARK)
    reactions = reaction_metrics(motions, targets, LANDMARK)
    found |= {name: reactions[name] for name in ("nod_r_f1", "shake_r_f1")}
    found |= {
        f"reactivity_{name}": value for name, value in reactivity(conversations(motions, about)).items()
    }
    figures = [liveliness(Motion(LANDMARK, values)) for values in motions]
    found |= {
        name: float(np.mean([figure[name] for figure in figures])) for name in ("nods_per_min", "speed")
    }
    return found


def moments(motions: Motions) -> Moments:
    """Of all frames but the first ones, which are given."""
    return Moments.of(np.concatenate([values[1:] for values in motions]))


def sid_ratio(motions: Motions, targets: Motions, clusters: int) -> float:
    """Shannon index over clusters of the true listeners' frames, over theirs."""
    frames = np.concatenate(targets)
    centres = cluster_centres(frames, clusters)
    ours, true = (shannon_index(cluster_counts(x, centres)) for x in (np.concatenate(motions), frames))
    return ours / true


def conversations(motions: Motions, about: HeldOut) -> list[Clip]:
    """Signals of listener, true listener and speaker; what the speaker says as cepstra."""
    return [
        Clip(
            listener_signals(Motion(LANDMARK, values)),
            listener_signals(clip.dyad.listener),
            speaker_signals(clip.example.features, LANDMARK),
        )
        for values, clip in zip(motions, about.clips, strict=True)
    ]
