"""Reads awkward files and compares what comes out with the right values in a table, one line a case.

    python tools/check_cases.py --folder ../shared/cases

The table is `check_cases.csv` in the folder, else the one beside this script: file, check, right value.
Exit code 1 if any is wrong.
"""

import contextlib
import csv
import dataclasses
import io
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import tyro

from lhg_jax import media
from lhg_jax.batch import read_batch
from lhg_jax.faces import tracking_result
from lhg_jax.motion import FRAME_RATE
from lhg_jax.speech.words import PARSERS, Word, misfit, read_transcript
from lhg_jax.util.errors import UserError, run_cli

TABLE = Path(__file__).with_name("check_cases.csv")
CLIP_S = 2.4  # length of the clip that transcripts belong to
CLICK_HZ = 5000  # the test sound clicks above this
TIME_S, SOUND_S, LEVELS, FACE = 0.012, 0.08, 8.0, 0.2  # how far off a value may be: s, s, levels, part


@dataclasses.dataclass(frozen=True)
class Options:
    """Checks the files of a folder against their right values."""

    folder: Path
    """Folder with the files and, maybe, a `check_cases.csv` of its own."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table."""

    path: Path
    check: str
    right: str


def click_s(wave: np.ndarray) -> float:
    """When the first loud high tone starts, seconds."""
    t = np.arange(65) - 32
    highpass = (t == 0) - np.sinc(2 * CLICK_HZ / media.SAMPLE_RATE * t) * 2 * CLICK_HZ / media.SAMPLE_RATE
    high = np.abs(np.convolve(wave, highpass * np.hamming(65), "same"))
    return float(np.flatnonzero(high > 0.4 * high.max())[0] / media.SAMPLE_RATE)


@contextlib.contextmanager
def output_of(path: Path) -> Iterator[Path]:
    """A listener's video for this speaker: grey, at the speaker's times, with the speaker's sound."""
    info = media.probe(path)
    times = media.frame_times(path) if info.has_video else np.arange(sound_frames(path)) / FRAME_RATE
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mp4"
        with media.VideoWriter(output, 64, 64, times, audio_from=path) as writer:
            for _ in times:
                writer.write(np.full((64, 64, 3), 127, np.uint8))
        yield output


def sound_frames(path: Path) -> int:
    """Frames of the listener for sound alone."""
    return math.ceil(media.probe(path).duration_s * FRAME_RATE - 1e-6)


def near(value: float, right: str, within: float) -> tuple[str, bool]:
    """The value as text, and whether it is right."""
    return f"{value:.3f}", abs(value - float(right)) <= within


def picture(path: Path) -> np.ndarray:
    """A picture, or the first one of a video."""
    return media.read_image(path)


def check_click(case: Case) -> tuple[str, bool]:
    return near(click_s(media.read_audio(case.path)), case.right, TIME_S)


def check_output_click(case: Case) -> tuple[str, bool]:
    with output_of(case.path) as output:
        return near(click_s(media.read_audio(output)), case.right, TIME_S)


def check_sound(case: Case) -> tuple[str, bool]:
    return near(len(media.read_audio(case.path)) / media.SAMPLE_RATE, case.right, SOUND_S)


def check_output_sound(case: Case) -> tuple[str, bool]:
    with output_of(case.path) as output:
        return near(len(media.read_audio(output)) / media.SAMPLE_RATE, case.right, SOUND_S)


def check_frames(case: Case) -> tuple[str, bool]:
    info = media.probe(case.path)
    count = sum(1 for _ in media.read_frames(case.path)) if info.has_video else sound_frames(case.path)
    return str(count), count == int(case.right) and (not info.has_video or info.frames == count)


def check_shape(case: Case) -> tuple[str, bool]:
    height, width = picture(case.path).shape[:2]
    return f"{width}x{height}", f"{width}x{height}" == case.right


def likeness(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Case], tuple[str, bool]]:
    """Compares a picture with a changed one of another file: mean difference in levels of 0 to 255."""

    def check(case: Case) -> tuple[str, bool]:
        image = picture(case.path).astype(np.float32)
        other = change(picture(case.path.with_name(case.right))).astype(np.float32)
        other = cv2.resize(other, image.shape[1::-1], interpolation=cv2.INTER_AREA)
        difference = float(np.abs(image - other).mean())
        return f"{difference:.1f} levels", difference <= LEVELS

    return check


def grey(image: np.ndarray) -> np.ndarray:
    """A grey picture of three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def check_words(case: Case) -> tuple[str, bool]:
    words = read_transcript(case.path)
    wanted = [part.rsplit(" ", 1) for part in case.right.split("|")]
    right = len(words) == len(wanted) and all(
        word.text == text and abs(word.start_s - float(start)) < 0.011
        for word, (text, start) in zip(words, wanted, strict=True)
    )
    return "|".join(f"{word.text} {word.start_s:g}" for word in words), right


def check_text(case: Case) -> tuple[str, bool]:
    text = " ".join(word.text for word in shown_words(read_transcript(case.path)))
    return text, text == " ".join(word for word in case.right.split() if any(map(str.isalnum, word)))


def shown_words(words: list[Word]) -> list[Word]:
    """Words in the order of the file."""
    return sorted(words, key=lambda word: word.start_s)


def check_warning(case: Case) -> tuple[str, bool]:
    if case.path.suffix.lower() in PARSERS:
        message = misfit(read_transcript(case.path), CLIP_S) or ""
        return message, case.right in message
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("lhg_jax").addHandler(handler)
    try:
        media.probe(case.path)
    finally:
        logging.getLogger("lhg_jax").removeHandler(handler)
    return log.getvalue().strip(), case.right in log.getvalue()


def check_error(case: Case) -> tuple[str, bool]:
    try:
        return f"{len(read_batch(case.path))} rows", False
    except UserError as error:
        return str(error), case.right in str(error)


def check_rows(case: Case) -> tuple[str, bool]:
    count = len(read_batch(case.path))
    return str(count), count == int(case.right)


def check_face(case: Case) -> tuple[str, bool]:
    box, _ = tracking_result.choose(picture(case.path), None)
    return near(float(box[2] - box[0]), case.right, FACE * float(case.right))


CHECKS: dict[str, Callable[[Case], tuple[str, bool]]] = {
    "click_s": check_click,
    "output_click_s": check_output_click,
    "sound_s": check_sound,
    "output_sound_s": check_output_sound,
    "frames": check_frames,
    "shape": check_shape,
    "like": likeness(lambda image: image),
    "like_mirrored": likeness(lambda image: image[:, ::-1]),
    "like_transposed": likeness(lambda image: image.transpose(1, 0, 2)),
    "like_grey": likeness(grey),
    "words": check_words,
    "text": check_text,
    "warning": check_warning,
    "error": check_error,
    "rows": check_rows,
    "face_px": check_face,
}


def read_cases(folder: Path) -> list[Case]:
    """The table of the folder, or of this script for the files that are there."""
    own = folder / TABLE.name
    with open(own if own.exists() else TABLE, newline="", encoding="utf-8") as file:
        return [Case(folder / row["file"], row["check"], row["right"]) for row in csv.DictReader(file)]


def main() -> None:
    """Prints one line a case."""
    options = tyro.cli(Options, description=__doc__)
    cases = read_cases(options.folder)
    wrong = 0
    for case in cases:
        try:
            found, is_right = CHECKS[case.check](case)
        except Exception as error:
            found, is_right = f"{type(error).__name__}: {error}", False
        wrong += not is_right
        sign = "right" if is_right else "WRONG"
        print(f"{sign}  {case.path.name}  {case.check}: {found} (want {case.right})", flush=True)
    print(f"{len(cases) - wrong} of {len(cases)} right")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    run_cli(main)
