"""How lively, varied and attentive a listener's samples are on prepared clips, beside the true listeners.

python tools/measure_listeners.py --clips out/synthetic/head_test [--checkpoint FILE] [--samples 5]
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro

from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.metrics.listening import reaction_metrics
from lhg_jax.metrics.liveliness import liveliness
from lhg_jax.metrics.per_video import frdiv
from lhg_jax.metrics.reactivity import Clip, listener_signals, reactivity
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.training.head_evaluation import speaker_signals, variance_ratios
from lhg_jax.util.errors import run_cli
from lhg_jax.util.progress import console

COLUMNS = ("nods_per_min", "blinks_per_min", "pose_std", "speed", "exp_departure", "smile", "jaw")


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures samples of a listener on prepared clips."""

    clips: Path
    """Folder of `python -m lhg_jax.prepare`, or one of its splits."""
    checkpoint: Path | None = None
    """Listener; the demo's by default."""
    samples: int = 5
    """Seeds a clip, >= 1."""
    limit: int = 40
    """Clips, from the first, >= 1."""
    temperature: float = 1.0
    """Of the draw."""


def main(options: Options) -> None:
    model, source = load_listener(options.checkpoint), open_source(options.clips)
    table = measure_listeners(model, source, options.limit, options.samples, options.temperature)
    console.print(markdown(table), highlight=False, markup=False, soft_wrap=True)


def measure_listeners(
    model: ListenerModel, source: RecordSource, limit: int, samples: int, temperature: float = 1.0
) -> dict[str, dict[str, float]]:
    """Rows `true listeners`, `mean` (temperature 0) and `drawn`, averaged over all seeds."""
    clips = [source[i] for i in range(min(limit, len(source)))]
    targets = [np.asarray(clip.listener_motion, np.float32) for clip in clips]
    speakers = [speaker_signals(clip.features, source.space) for clip in clips]
    mean = [model.generate(c.features, t[0]) for c, t in zip(clips, targets, strict=True)]
    rows = {
        "true listeners": row_of(targets, targets, speakers),
        "mean": row_of(mean, targets, speakers),
    }
    if model.head:
        drawn = [
            model.draw(c.features, t[0], Draw(samples * i, temperature), samples)
            for i, (c, t) in enumerate(zip(clips, targets, strict=True))
        ]
        each = [row_of([motions[s] for motions in drawn], targets, speakers) for s in range(samples)]
        rows["drawn"] = {name: float(np.nanmean([row[name] for row in each])) for name in each[0]}
        rows["drawn"]["frdiv"] = float(np.mean([frdiv(list(motions)) for motions in drawn]))
    return rows


def row_of(
    motions: Sequence[np.ndarray], targets: Sequence[np.ndarray], speakers: Sequence[np.ndarray]
) -> dict[str, float]:
    """All figures of one listener of each clip."""
    figures = [liveliness(Motion(LANDMARK, values)) for values in motions]
    row = {name: float(np.mean([figure[name] for figure in figures])) for name in COLUMNS}
    row |= variance_ratios(list(motions), list(targets), LANDMARK)
    row |= reaction_metrics(motions, targets, LANDMARK)
    signals = [
        [listener_signals(Motion(LANDMARK, v)) for v in pair] for pair in zip(motions, targets, strict=True)
    ]
    clips = [Clip(*pair, speaker) for pair, speaker in zip(signals, speakers, strict=True)]
    return row | {f"reactivity_{name}": value for name, value in reactivity(clips).items()}


def markdown(table: dict[str, dict[str, float]]) -> str:
    """One line a figure, one column a listener."""
    lines = ["| | " + " | ".join(table) + " |", "|---" * (len(table) + 1) + "|"]
    names = dict.fromkeys(name for row in table.values() for name in row)
    for name in names:
        cells = (f"{row[name]:.3g}" if name in row else "–" for row in table.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
