"""Draws one synthetic dyad over time: `python tools/plot_dyad.py --index 0 --output docs/images/dyad.png`."""

import dataclasses
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tyro
from PIL import Image

from lhg_jax.media import read_audio
from lhg_jax.motion import FRAME_RATE
from lhg_jax.simulator.curves import frame_times
from lhg_jax.simulator.dyads import Dyad, synthesise
from lhg_jax.simulator.pitch import PITCH_RATE, track_pitch
from lhg_jax.simulator.rule_scores import feeling
from lhg_jax.simulator.speech import SAMPLE_RATE
from lhg_jax.speech.log_mel import log_mel

COLOURS = {"nod": "tab:green", "shake": "tab:red", "blink": "tab:gray", "random_blink": "lightgray"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Which dyad to draw, and where to."""

    output: Path
    seed: int = 0
    index: int = 0
    real: Path | None = None
    """A recording of real speech: draws how the dyad's speech looks beside it, instead of the dyad."""


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


def draw_sound(axes, wave: np.ndarray, title: str):
    wave_axis, mel_axis, pitch_axis = axes
    seconds = len(wave) / SAMPLE_RATE
    wave_axis.plot(np.arange(len(wave)) / SAMPLE_RATE, wave / np.abs(wave).max(), lw=0.3, color="black")
    wave_axis.set_title(title)
    mel = np.asarray(log_mel(wave, round(seconds * FRAME_RATE))).T
    mel_axis.imshow(
        mel, origin="lower", aspect="auto", extent=(0, seconds, 0, 128), vmin=mel.max() - 70, vmax=mel.max()
    )
    f0 = track_pitch(wave)
    pitch_axis.plot(np.arange(len(f0)) / PITCH_RATE, np.where(f0 > 0, f0, np.nan), ".", ms=2)
    pitch_axis.set_xlabel("time [s]")


def beside_real_speech(options: Options, dyad: Dyad, seconds: float = 8.0):
    real = read_audio(options.real, SAMPLE_RATE)
    figure, axes = plt.subplots(3, 2, figsize=(12, 6), sharex="col", sharey="row")
    first = round(dyad.words[0].start_s * SAMPLE_RATE) if dyad.words else 0
    for column, (wave, title) in enumerate(((dyad.wave[first:], dyad.uuid), (real, "real speech"))):
        draw_sound(axes[:, column], wave[: round(seconds * SAMPLE_RATE)], title)
    for axis, label in zip(axes[:, 0], ("wave / peak", "mel band", "F0 [Hz]"), strict=True):
        axis.set_ylabel(label)
    return figure


def over_time(dyad: Dyad):
    figure, axes = plt.subplots(5, 1, figsize=(12, 9), sharex=True, height_ratios=(1, 1, 1.3, 1.3, 1))
    draw_speech(axes[:2], dyad)
    draw_motion(axes[2:], dyad)
    axes[-1].set_xlabel(
        f"time [s]    ({dyad.uuid}, attitude {dyad.attitude}; listener: green nod, red shake, gray blink)"
    )
    return figure


def main(options: Options) -> None:
    dyad = synthesise(options.seed, options.index)
    figure = beside_real_speech(options, dyad) if options.real else over_time(dyad)
    figure.tight_layout()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=80)
    Image.open(options.output).convert("RGB").quantize(64).save(options.output, optimize=True)


if __name__ == "__main__":
    main(tyro.cli(Options, prog="python tools/plot_dyad.py", description=__doc__))
