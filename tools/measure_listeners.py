"""How lively, varied and attentive a listener's samples are on prepared clips, beside the true listeners.

python tools/measure_listeners.py --clips out/synthetic/head_test [--checkpoint FILE] [--samples 5]
  [--speech RECORDINGS --speech-cache FOLDER]

With the recordings that simulated clips were made of, two columns more: the same people listening another
time, and other people in their place, which is the best that a listener who is not told who listens can be
asked for; and how far delays and depths of nods are from the true ones'.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.metrics.listening import reaction_metrics
from lhg_jax.metrics.liveliness import liveliness
from lhg_jax.metrics.motion import CLUSTERS, cluster_centres, cluster_counts, columns, shannon_index
from lhg_jax.metrics.per_video import frdiv
from lhg_jax.metrics.reactions import PROFILES
from lhg_jax.metrics.reactivity import Clip, listener_signals, reactivity
from lhg_jax.motion import LANDMARK, Motion
from lhg_jax.preparation.speech_folder import read_speech_folder
from lhg_jax.preparation.voices import prepare_voices
from lhg_jax.simulator.distribution_scores import distribution_scores
from lhg_jax.simulator.dyads import Dyad, listen_again, listen_instead, synthesise_again
from lhg_jax.simulator.rule_scores import mean_probe
from lhg_jax.training.head_evaluation import speaker_signals, variance_ratios
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import console

GROUPS = ("exp", "pose")
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
    speech: Path | None = None
    """Recordings that the clips were made of (`prepare --speech`)."""
    speech_cache: Path = Path("out/synthetic/speech")
    """Folder of the recordings once analysed (`prepare --speech-cache`)."""


class Conversations(NamedTuple):
    """Clips as everything that is measured on them; `dyads` is empty where nobody can tell.

    `centres`: of the true listeners' frames, by group of coefficients, for SID.
    """

    targets: list[np.ndarray]
    speakers: list[np.ndarray]
    dyads: list[Dyad]
    centres: dict[str, np.ndarray]


def main(options: Options) -> None:
    model, source = load_listener(options.checkpoint), open_source(options.clips)
    count = min(options.limit, len(source))
    dyads = dyads_of(source, count, options.speech, options.speech_cache) if options.speech else []
    table = measure_listeners(model, source, count, options.samples, options.temperature, dyads)
    console.print(markdown(table), highlight=False, markup=False, soft_wrap=True)


def dyads_of(source: RecordSource, count: int, speech: Path, cache: Path) -> list[Dyad]:
    """Simulates the first clips of a folder again, whose recordings are in `speech`.

    Raises `UserError` where other listeners come out.
    """
    wanted = {source.info(i).speaker_id for i in range(count)}
    recordings = [item for item in read_speech_folder(speech).recordings if item.speaker in wanted]
    voices, _ = prepare_voices(recordings, cache, workers=1)
    recorded = {voice.speaker: voice.load() for voice in voices}
    dyads = []
    for number in range(count):
        info, true = source.info(number), source[number].listener_motion
        dyad = synthesise_again(info.uuid, recorded.get(info.speaker_id, ()))
        if dyad is None or not np.allclose(dyad.listener.values[: len(true)], true, atol=0.01):
            raise UserError(f"{speech}: {info.uuid} was made of other recordings than these")
        dyads.append(dyad)
    return dyads


def measure_listeners(
    model: ListenerModel,
    source: RecordSource,
    count: int,
    samples: int,
    temperature: float = 1.0,
    dyads: Sequence[Dyad] = (),
) -> dict[str, dict[str, float]]:
    """`true listeners`, `mean` (temperature 0), and averaged over seeds `drawn`, `again`, `somebody else`."""
    clips = [source[i] for i in range(count)]
    targets = [np.asarray(clip.listener_motion, np.float32) for clip in clips]
    speakers = [speaker_signals(clip.features, source.space) for clip in clips]
    frames = np.concatenate(targets)
    centres = {
        group: cluster_centres(frames[:, columns(LANDMARK, group)], CLUSTERS[group]) for group in GROUPS
    }
    about = Conversations(targets, speakers, list(dyads), centres)
    mean = [model.generate(c.features, t[0]) for c, t in zip(clips, targets, strict=True)]
    rows = {"true listeners": row_of(targets, about), "mean": row_of(mean, about)}
    if model.head:
        drawn = [
            model.draw(c.features, t[0], Draw(samples * i, temperature), samples)
            for i, (c, t) in enumerate(zip(clips, targets, strict=True))
        ]
        rows["drawn"] = mean_row(drawn, about, samples)
    for name, listen in {"again": listen_again, "somebody else": listen_instead}.items() if dyads else ():
        others = [[listen(dyad, 1000 * i + s).values for s in range(samples)] for i, dyad in enumerate(dyads)]
        rows[name] = mean_row(others, about, samples)
    return rows


def mean_row(drawn: Sequence[Sequence[np.ndarray]], about: Conversations, samples: int) -> dict[str, float]:
    """The figures of each seed's listeners, averaged; best R-F1 of a seed; FRDiv of the samples of a clip."""
    each = [row_of([motions[s] for motions in drawn], about) for s in range(samples)]
    row = mean_probe(each)
    best = {f"{name}_best": max(one[name] for one in each) for name in row if name.endswith("r_f1")}
    return row | best | {"frdiv": float(np.mean([frdiv(list(motions)) for motions in drawn]))}


def row_of(motions: Sequence[np.ndarray], about: Conversations) -> dict[str, float]:
    """All figures of one listener of each clip."""
    targets = about.targets
    figures = [liveliness(Motion(LANDMARK, values)) for values in motions]
    row = {name: float(np.mean([figure[name] for figure in figures])) for name in COLUMNS}
    row |= variance_ratios(list(motions), list(targets), LANDMARK) | sid_ratios(motions, about)
    for profile in PROFILES:
        scores = reaction_metrics(motions, targets, LANDMARK, profile)
        row |= {f"{profile}: {name}": value for name, value in scores.items()}
    if about.dyads:
        listeners = [Motion(LANDMARK, values) for values in motions]
        row |= distribution_scores(listeners, about.dyads)
    signals = [
        [listener_signals(Motion(LANDMARK, v)) for v in pair] for pair in zip(motions, targets, strict=True)
    ]
    clips = [Clip(*pair, speaker) for pair, speaker in zip(signals, about.speakers, strict=True)]
    return row | {f"reactivity_{name}": value for name, value in reactivity(clips).items()}


def sid_ratios(motions: Sequence[np.ndarray], about: Conversations) -> dict[str, float]:
    """SID of expression and of pose over the true listeners'."""
    ratios = {}
    for group, centres in about.centres.items():
        ours, true = (
            shannon_index(cluster_counts(np.concatenate(list(values))[:, columns(LANDMARK, group)], centres))
            for values in (motions, about.targets)
        )
        ratios[f"{group}_sid"] = ours / true
    return ratios


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
