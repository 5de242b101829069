"""A listener that only hears: on recordings, on silence, for ten minutes, and as the controls have it.

python tools/measure_speech.py --speech RECORDINGS --clips out/synthetic/test [--checkpoint FILE]

The speakers are those of the clips in `--clips`: choose a split that no stage was trained on. Every listener
starts from a face at rest.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float
from measure_listeners import markdown

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.data.records import open_source
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.media import SAMPLE_RATE, read_audio
from lhg_jax.metrics.liveliness import liveliness
from lhg_jax.metrics.reactivity import swap_ratio
from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.pipeline.extraction import join
from lhg_jax.preparation.speech_folder import Recording, read_speech_folder
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.extract import WordEncoder, extract_speech
from lhg_jax.speech.words import Word
from lhg_jax.styles import traits_of
from lhg_jax.training.head_evaluation import COOL, change
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import console
from lhg_jax.windowed_inference import window_starts

LEAST_S = 8.0
SILENCE_DB = -60.0
FACTORS = (0.0, 1.0, 2.0)
CONTROLS = ("liveliness", "nods", "smiles", "blinks")

Wave = Float[np.ndarray, "samples"]
Values = Float[np.ndarray, "frames coeff"]
Row = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures a listener on sound alone."""

    speech: Path
    """Recordings of speech (`prepare --speech`)."""
    clips: tuple[Path, ...]
    """Splits of clips made of them, whose speakers are measured."""
    checkpoint: Path | None = None
    """Listener; the demo's by default."""
    limit: int = 20
    """Recordings of at least 8 s, >= 1."""
    seconds: float = 12.0
    """Of each recording, at most."""
    samples: int = 5
    """Seeds a recording, >= 1; four times as many for silence and the long clip."""
    minutes: float = 10.0
    """Of the long clip, a multiple of 3 and 1 more; 0: none."""


def main(options: Options) -> None:
    model, encoder = load_listener(options.checkpoint), BertEncoder.load(None)
    found = list(itertools.islice(of_speakers(options.speech, options.clips), options.limit))
    if not found:
        raise UserError(f"{options.speech}: no recording of {LEAST_S:.0f} s by a speaker of the clips")
    waves = [wave[: int(options.seconds * SAMPLE_RATE)] for _, wave in found]
    heard = [hear(wave, item.words, encoder) for wave, (item, _) in zip(waves, found, strict=True)]
    rng = np.random.default_rng(0)
    nothing = np.zeros(int(LEAST_S * SAMPLE_RATE), np.float32)
    hiss = rng.normal(0, 10 ** (SILENCE_DB / 20), len(nothing)).astype(np.float32)
    table = {f"{len(heard)} recordings": mean_row(drawn(model, heard, options.samples))}
    for name, wave in {"nothing": nothing, f"noise at {SILENCE_DB:.0f} dB": hiss}.items():
        table[name] = mean_row(drawn(model, [hear(wave, (), encoder)], 4 * options.samples))
    show("What people hear of it", table)
    show("Controls, traits on three recordings", controls(model, heard[:3], options.samples))
    show("Another speaker or another seed", {"drawn": {"swap_ratio": swaps(model, heard)}})
    if options.minutes:
        wave = long_clip(waves, options.minutes)
        show("A long clip", steadiness(model, hear(wave, (), encoder), 4 * options.samples))


def long_clip(waves: Sequence[Wave], minutes: float) -> Wave:
    """Three minutes of recordings again and again: the first minute and the last sound alike."""
    passage = np.resize(np.concatenate(waves), int(3 * 60 * SAMPLE_RATE))
    return np.resize(passage, int(minutes * 60 * SAMPLE_RATE))


def show(title: str, table: Mapping[str, Row]) -> None:
    console.print(f"\n{title}\n\n{markdown(dict(table))}", highlight=False, markup=False, soft_wrap=True)


def of_speakers(speech: Path, clips: Sequence[Path]) -> Iterator[tuple[Recording, Wave]]:
    """Recordings that are long enough, of the speakers of these clips."""
    sources = [open_source(folder) for folder in clips]
    wanted = {source.info(n).speaker_id for source in sources for n in range(len(source))}
    for item in read_speech_folder(speech).recordings:
        if item.speaker in wanted and len(wave := read_audio(item.path)) >= LEAST_S * SAMPLE_RATE:
            yield item, wave


def hear(wave: Wave, words: Iterable[Word], encoder: WordEncoder) -> SpeakerFeatures:
    """What a listener knows of a sound and the words in it; nobody is seen."""
    frames = int(len(wave) * FRAME_RATE / SAMPLE_RATE)
    inside = [word for word in words if word.end_s < len(wave) / SAMPLE_RATE]
    return join(extract_speech(wave, frames, inside, encoder), None, LANDMARK)


def drawn(
    model: ListenerModel,
    heard: Sequence[SpeakerFeatures],
    samples: int,
    temperature: float = 1.0,
    factors: Mapping[str, float] | None = None,
) -> list[Values]:
    """`samples` listeners of each, other seeds for each."""
    rest = np.zeros(model.space.size, np.float32)
    draws = (Draw(samples * n, temperature, factors=factors or {}) for n in range(len(heard)))
    return [
        motion
        for features, draw in zip(heard, draws, strict=True)
        for motion in model.draw(features, rest, draw, samples)
    ]


def mean_row(motions: Iterable[Values]) -> Row:
    """`liveliness`, averaged over motions."""
    rows = [liveliness(Motion(LANDMARK, values)) for values in motions]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def controls(model: ListenerModel, heard: Sequence[SpeakerFeatures], samples: int) -> dict[str, Row]:
    """Traits under each factor of each control; 1 leaves a control alone."""
    table = {}
    for name, factor in ((name, factor) for name in CONTROLS for factor in FACTORS):
        motions = drawn(model, heard, samples, factors={} if factor == 1 else {name: factor})
        traits = [traits_of(Motion(LANDMARK, values)) for values in motions]
        table[f"{name} {factor:.0f}"] = {key: float(np.mean([t[key] for t in traits])) for key in traits[0]}
    return table


def swaps(model: ListenerModel, heard: Sequence[SpeakerFeatures]) -> float:
    """`swap_ratio` at a low temperature: the same seeds hear the next recording."""
    rest = np.zeros(model.space.size, np.float32)
    pairs = [change(np.stack(model.draw(x, rest, Draw(2 * n, COOL), 2))) for n, x in enumerate(heard)]
    others = [
        change(np.stack(model.draw(heard[(n + 1) % len(heard)], rest, Draw(2 * n, COOL), 1)))[0]
        for n in range(len(heard))
    ]
    return swap_ratio([pair[0] for pair in pairs], [pair[1] for pair in pairs], others)


def steadiness(model: ListenerModel, heard: SpeakerFeatures, samples: int) -> dict[str, Row]:
    """Variance of minutes, and jumps at windows' borders beside those elsewhere."""
    motions = drawn(model, [heard], samples)
    spec = model.inference
    starts = window_starts(len(motions[0]), spec.window, spec.overlap)[1:]
    table = {}
    for part in ("exp", "angle"):
        values = [values[:, LANDMARK.slice(part)] for values in motions]
        table[part] = minutes(values) | jumps(values, starts, spec.overlap)
    return table


def minutes(motions: Sequence[Values]) -> Row:
    """The last minute's variance over the first's, and over the mean minute's; averaged over motions."""
    length = int(60 * FRAME_RATE)
    each = np.array([list(variances(values, length)) for values in motions]).mean(axis=0)
    return {
        "last over first minute": float(each[-1] / each[0]),
        "least over mean": float(each.min() / each.mean()),
        "most over mean": float(each.max() / each.mean()),
    }


def variances(values: Values, length: int) -> Iterator[float]:
    """Of each whole stretch of `length` frames, summed over coefficients."""
    for start in range(0, len(values) - length + 1, length):
        yield float(values[start : start + length].var(axis=0).sum())


def jumps(motions: Sequence[Values], starts: Sequence[int], overlap: int) -> Row:
    """Changes from frame to frame where windows begin or end, and elsewhere."""
    sizes = np.abs(np.diff(np.stack(motions), axis=1)).max(axis=-1)
    borders = np.zeros(sizes.shape[1], bool)
    for start in starts:
        for frame in (start - 1, start, start + overlap - 1, start + overlap):
            borders[min(frame, len(borders) - 1)] = True
    return {
        "largest at borders": float(sizes[:, borders].max()),
        "largest elsewhere": float(sizes[:, ~borders].max()),
        "99.9th percentile at borders": float(np.percentile(sizes[:, borders], 99.9)),
        "99.9th percentile elsewhere": float(np.percentile(sizes[:, ~borders], 99.9)),
    }


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
