"""How alive the simulator's listeners are, and the timing of real ones, as Markdown for docs/data.md.

  python tools/measure_dyads.py [--clips 80] [--recordings FOLDER] [--turns primock57.jsonl]

FOLDER holds analysed recordings (`prepare --speech-cache`): without it, voices are synthetic.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import tyro

from lhg_jax.face_model import action
from lhg_jax.motion import FRAME_RATE, Motion
from lhg_jax.preparation.voices import load_recording
from lhg_jax.simulator.distribution_scores import ceiling
from lhg_jax.simulator.dyads import Dyad, DyadParams, synthesise_human, synthesise_varied
from lhg_jax.simulator.speech import SpeechParams

NOD_DEG, NOD_FRAMES, NOD_GAP_S = 3.0, (2, 18), 0.8
TREND_FRAMES = 45
LEAST_BLINK = 0.5
_ACKNOWLEDGEMENT = r"(mm+|mhm|mm-?hmm|uh-?huh|yeah|yes|yep|okay|ok|right|sure|alright|i see|great|good)"


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    clips: int = 80
    """Dyads."""
    seed: int = 3
    """Of the simulator."""
    recordings: Path | None = None
    """Folder of analysed recordings."""
    turns: Path | None = None
    """PriMock57's turns, one conversation a line."""


def alive(motion: Motion) -> dict[str, float]:
    """Nods of 3 degrees and blinks a minute, spread and speed of the pose, and how much the face says."""
    angle = np.rad2deg(motion.part("angle").astype(np.float64))
    smooth = scipy.signal.savgol_filter(angle, 5, 2, axis=0)
    minutes = len(motion) / FRAME_RATE / 60
    longest = len(motion) - 1 + len(motion) % 2
    pitch = smooth[:, 0] - scipy.signal.savgol_filter(smooth[:, 0], min(TREND_FRAMES, longest), 1)
    strokes, _ = scipy.signal.find_peaks(pitch, prominence=NOD_DEG, distance=6, width=NOD_FRAMES)
    nods = int((np.diff(strokes, prepend=-1e9) > NOD_GAP_S * FRAME_RATE).sum())
    blinks, _ = scipy.signal.find_peaks(
        amount(motion, "blink"), height=LEAST_BLINK, prominence=0.4, distance=5
    )
    smile, exp = amount(motion, "smile"), motion.part("exp")
    return {
        "nods/min": nods / minutes,
        "pose std, °": float(np.linalg.norm(angle.std(axis=0))),
        "speed, °/s": float(np.linalg.norm(np.diff(smooth, axis=0) * FRAME_RATE, axis=1).mean()),
        "expression departure": float(np.linalg.norm(exp - exp.mean(axis=0), axis=1).mean()),
        "smile": float(np.percentile(smile, 95) - np.percentile(smile, 20)),
        "blinks/min": len(blinks) / minutes,
    }


def amount(motion: Motion, name: str) -> np.ndarray:
    """Projection of the expression on an action, from the clip's median."""
    exp, direction = motion.part("exp").astype(np.float64), action(name)
    return (exp - np.median(exp, axis=0)) @ direction / (direction @ direction)


def share_of_windows(dyads: Sequence[Dyad], kind: str, window_s: float = 10.0) -> float:
    """Of windows of 10 s, those in which an event of a kind goes on."""
    found = []
    for dyad in dyads:
        for start_s in np.arange(0, dyad.speech.duration_s - window_s, window_s / 2):
            inside = (e for e in dyad.events if e.kind == kind and e.time_s < start_s + window_s)
            found.append(any(e.time_s + e.duration_s > start_s for e in inside))
    return float(np.mean(found))


def print_alive(title: str, dyads: Sequence[Dyad]) -> None:
    """A row: mean, and 10th to 90th percentile over clips."""
    rows = [alive(dyad.listener) for dyad in dyads]
    print(f"| {title} |", end="")
    for name in rows[0]:
        values = [row[name] for row in rows]
        low, high = np.percentile(values, [10, 90])
        print(f" {np.mean(values):.2f} ({low:.2f}-{high:.2f}) |", end="")
    print()


def print_turns(path: Path) -> None:
    """When short acknowledgements begin, relative to the end of the other's turn of more than 4 s."""
    spoken = re.compile(rf"{_ACKNOWLEDGEMENT}([ ,.!]+{_ACKNOWLEDGEMENT})*[.,! ]*", re.IGNORECASE)
    late = []
    for line in path.read_text(encoding="utf-8").splitlines():
        turns = json.loads(line)["turns"]
        for start_s, _, who, text in turns:
            if spoken.fullmatch(text.strip()):
                held = [t for t in turns if t[2] != who and t[1] - t[0] > 4 and t[0] < start_s < t[1] + 2]
                late += [start_s - held[0][1]] if held else []
    after = [time_s for time_s in late if time_s > -0.5]
    low, middle, high = np.percentile(after, [10, 50, 90])
    inside = 1 - len(after) / len(late)
    print(f"\n{len(late)} acknowledgements, {inside:.0%} more than 0.5 s before the end of the turn")
    print(f"the others {middle:.2f} s after it (10-90 %: {low:.2f} to {high:.2f} s)")


def main(options: Options) -> None:
    """Prints everything."""
    if options.recordings is None:
        dyads = [synthesise_varied(options.seed, index) for index in range(options.clips)]
    else:
        files = sorted(options.recordings.glob("*.npz"))
        dyads = [
            synthesise_human([load_recording(files[index % len(files)])], options.seed, index)
            for index in range(options.clips)
        ]
    silence = DyadParams(speech=SpeechParams(silent=1.0, clip_s=(8.0, 8.04)))
    print("| listeners |", *(f"{name} |" for name in alive(dyads[0].listener)))
    print_alive("while somebody speaks", dyads)
    print_alive(
        "8 s of silence", [synthesise_varied(options.seed, index, params=silence) for index in range(40)]
    )
    for kind in ("nod", "smile", "tilt"):
        print(f"\n{share_of_windows(dyads, kind):.0%} of windows of 10 s have a {kind}")
    print("\nThe same people another time:", ceiling(dyads, options.seed))
    if options.turns is not None:
        print_turns(options.turns)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
