"""Figures of docs/data.md about the simulator: rates, probes and speech, as Markdown.

python tools/measure_synthetic.py [--dyads 200] [--probed 60] [--real a.wav b.wav]
"""

import argparse
import dataclasses
import math

import numpy as np

from lhg_jax.media import read_audio
from lhg_jax.simulator.benchmark import moved_to
from lhg_jax.simulator.dyads import Dyad, synthesise
from lhg_jax.simulator.pitch import track_pitch
from lhg_jax.simulator.rule_scores import mean_probe, probe
from lhg_jax.simulator.rules import ATTITUDES
from lhg_jax.simulator.speech import SAMPLE_RATE

QUIET_DB = -35.0
STEP = SAMPLE_RATE // 100


def minutes(dyads: list[Dyad]) -> float:
    return sum(len(dyad.listener) for dyad in dyads) / dyads[0].listener.fps / 60


def rate(dyads: list[Dyad], *kinds: str) -> float:
    """Events of these kinds a minute."""
    return sum(event.kind in kinds for dyad in dyads for event in dyad.events) / minutes(dyads)


def excursion_deg(dyad: Dyad) -> np.ndarray:
    """Largest departure of pitch, yaw and roll from the first frame."""
    angle = dyad.listener.part("angle")
    return np.rad2deg(np.abs(angle - angle[0]).max(axis=0))


def print_rates(dyads: list[Dyad]) -> None:
    spoken = np.concatenate([dyad.speech.speaking for dyad in dyads]).mean()
    words = sum(len(dyad.words) for dyad in dyads) / minutes(dyads)
    print(
        f"{len(dyads)} dyads, {minutes(dyads) / 60:.2f} h: speech {spoken:.0%} of the time, "
        f"{words:.0f} words/min"
    )
    groups = [[dyad for dyad in dyads if dyad.attitude == attitude] for attitude in ATTITUDES]
    by_attitude = ", ".join(
        f"{name} {rate(some, 'nod'):.1f}" for name, some in zip(ATTITUDES, groups, strict=True)
    )
    print(f"per minute: cues {rate(dyads, 'cue'):.1f}, nods {rate(dyads, 'nod'):.1f} ({by_attitude}),")
    print(f"  negations {rate(dyads, 'negation'):.1f}, shakes {rate(dyads, 'shake'):.1f},")
    print(
        f"  blinks {rate(dyads, 'blink', 'random_blink'):.1f} (at sentence ends {rate(dyads, 'blink'):.1f})"
    )
    pitch, yaw, roll = np.median([excursion_deg(dyad) for dyad in dyads], axis=0)
    print(f"largest excursion, median over clips: pitch {pitch:.1f}°, yaw {yaw:.1f}°, roll {roll:.1f}°")


def print_probes(dyads: list[Dyad]) -> None:
    """The simulator's listeners, listeners exchanged between dyads, and one that keeps still."""

    def measured(values_of) -> dict[str, float]:
        motions = [dataclasses.replace(dyad.listener, values=values_of(i)) for i, dyad in enumerate(dyads)]
        return mean_probe(probe(motion, dyad) for motion, dyad in zip(motions, dyads, strict=True))

    def own(i: int) -> np.ndarray:
        return dyads[i].listener.values

    def exchanged(i: int) -> np.ndarray:
        return moved_to(own(i)[0], own((i + 1) % len(dyads)), len(own(i)))

    columns = [
        measured(own),
        measured(exchanged),
        measured(lambda i: np.repeat(own(i)[:1], len(own(i)), axis=0)),
    ]
    print(
        f"\n{len(dyads)} dyads; mean gain of the styles {np.mean([d.style.mirror_gain for d in dyads]):.3f}\n"
    )
    print("| measure | truth | shuffled | still |\n|---|---:|---:|---:|")
    for name in columns[0]:
        cells = ("–" if math.isnan(column[name]) else f"{column[name]:.3f}" for column in columns)
        print(f"| {name} | {' | '.join(cells)} |")


def speech_measures(wave: np.ndarray) -> dict[str, float]:
    """Of a recording as it is, noise included; NaN without voice."""
    f0 = track_pitch(wave)
    steps = len(wave) // STEP
    level = np.sqrt((wave[: steps * STEP].reshape(steps, STEP).astype(np.float64) ** 2).mean(axis=1))
    voiced = f0[f0 > 0] if (f0 > 0).any() else np.full(1, np.nan)
    low, median, high = np.percentile(voiced, (10, 50, 90))
    return {
        "median F0, Hz": median,
        "F0 range (10–90 %), semitones": 12 * np.log2(high / low),
        "voiced steps, %": 100 * (f0 > 0).mean(),
        "steps 35 dB below the loudest, %": 100 * (level < level.max() * 10 ** (QUIET_DB / 20)).mean(),
    }


def print_speech(dyads: list[Dyad], real: list[str]) -> None:
    spoken = [speech_measures(dyad.wave) for dyad in dyads if dyad.words]
    recorded = [speech_measures(read_audio(path, SAMPLE_RATE)) for path in real]
    print("\n| | real | synthetic |\n|---|---|---|")
    for name in spoken[0]:
        spread = np.nanpercentile([measures[name] for measures in spoken], (10, 50, 90))
        those = ", ".join(f"{measures[name]:.1f}" for measures in recorded)
        print(f"| {name} | {those} | {' – '.join(f'{value:.1f}' for value in spread)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dyads", type=int, default=200)
    parser.add_argument("--probed", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", nargs="*", default=[])
    args = parser.parse_args()
    dyads = [synthesise(args.seed, index) for index in range(max(args.dyads, args.probed))]
    print_rates(dyads[: args.dyads])
    print_probes(dyads[: args.probed])
    print_speech(dyads[: args.probed], args.real)


if __name__ == "__main__":
    main()
