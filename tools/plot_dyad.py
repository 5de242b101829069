"""Draws one synthetic dyad over time: `python tools/plot_dyad.py --index 0 --output docs/images/dyad.png`."""

import dataclasses
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tyro

from lhg_jax.data.curves import frame_times
from lhg_jax.data.pitch import PITCH_RATE
from lhg_jax.data.probes import feeling
from lhg_jax.data.synthetic import Dyad, synthesise
from lhg_jax.data.synthetic_speech import SAMPLE_RATE

COLOURS = {"nod": "tab:green", "shake": "tab:red", "blink": "tab:gray", "random_blink": "lightgray"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which dyad to draw, and where to."""

    output: Path
    seed: int = 0
    index: int = 0


def draw_speech(axes, dyad: Dyad):
    wave_axis, pitch_axis = axes
    wave_axis.plot(np.arange(len(dyad.wave)) / SAMPLE_RATE, dyad.wave, lw=0.3, color="black")
    wave_axis.set_ylabel("wave")
    for word in dyad.speech.words:
        colour = {1: "tab:green", -1: "tab:red", 0: "black"}[word.valence]
        weight = "bold" if word.negates else "normal"
        style = {"rotation": 50, "rotation_mode": "anchor", "size": 7, "color": colour, "weight": weight}
        wave_axis.text(word.start_s, 1.02, word.text, transform=wave_axis.get_xaxis_transform(), **style)
    f0 = np.where(dyad.speech.f0 > 0, dyad.speech.f0, np.nan)
    pitch_axis.plot(np.arange(len(f0)) / PITCH_RATE, f0, ".", ms=1.5)
    if np.isfinite(f0).any():
        pitch_axis.axhline(
            np.nanpercentile(f0, dyad.params.cue_percentile), lw=0.7, ls="--", color="tab:blue"
        )
    pitch_axis.set_ylabel("F0 [Hz]\n(cues dashed)")
    for event in dyad.events:
        if event.kind == "cue":
            pitch_axis.axvline(event.time_s, lw=0.7, ls="--", color="tab:green")


def draw_motion(axes, dyad: Dyad):
    speaker_axis, listener_axis, feeling_axis = axes
    times = frame_times(len(dyad.listener))
    for axis, name, motion in (
        (speaker_axis, "speaker", dyad.speaker),
        (listener_axis, "listener", dyad.listener),
    ):
        for label, curve in zip(("pitch", "yaw", "roll"), np.rad2deg(motion.part("angle")).T, strict=True):
            axis.plot(times, curve, lw=1, label=label)
        axis.set_ylabel(f"{name}\nangle [°]")
        axis.legend(loc="upper right", fontsize=7, ncols=3)
    feeling_axis.plot(times, feeling(dyad.speaker), lw=1, label="speaker")
    feeling_axis.plot(times, feeling(dyad.listener), lw=1, label="listener")
    feeling_axis.set_ylabel("smile - frown\n(from first frame)")
    feeling_axis.legend(loc="upper right", fontsize=7, ncols=2)
    for event in dyad.events:
        if event.kind in COLOURS:
            axis = feeling_axis if "blink" in event.kind else listener_axis
            axis.axvline(event.time_s, lw=1.2, color=COLOURS[event.kind])


def main(options: Options) -> None:
    dyad = synthesise(options.seed, options.index)
    figure, axes = plt.subplots(5, 1, figsize=(12, 9), sharex=True, height_ratios=(1, 1, 1.3, 1.3, 1))
    draw_speech(axes[:2], dyad)
    draw_motion(axes[2:], dyad)
    axes[-1].set_xlabel(
        f"time [s]    ({dyad.uuid}, attitude {dyad.attitude}; listener: green nod, red shake, gray blink)"
    )
    figure.tight_layout()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=80)


if __name__ == "__main__":
    main(tyro.cli(Options))
