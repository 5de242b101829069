"""Gives awkward files to whole commands and looks at what they leave, one line a case.

    python tools/check_commands.py --folder ../shared/cases

The table is `check_commands.csv` in the folder, else the one beside this script: file, how it is used, what
is looked at, right value. `std.mp4` (a speaker) and `happy.png` (a portrait) of the folder go with the files.
A command runs once for each use of a file. Exit code 1 if any case is wrong.
"""

import contextlib
import csv
import dataclasses
import io
import itertools
import logging
import operator
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import tyro
from check_cases import SOUND_S, TIME_S, click_s, near

from lhg_jax import evaluate, media, prepare, sample
from lhg_jax.motion import LANDMARK, Motion, save_motion
from lhg_jax.util.errors import run_cli

TABLE = Path(__file__).with_name("check_commands.csv")
SIZE = "320"  # pixels: small, so that drawing takes little time


@dataclasses.dataclass(frozen=True)
class Options:
    """Checks what whole commands make of the files of a folder."""

    folder: Path
    """Folder with the files and, maybe, a `check_commands.csv` of its own."""
    only: str = ""
    """Only rows with this text in file or use."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, both streams and the log as text, and its folder."""

    code: int
    text: str
    errors: str
    folder: Path

    @property
    def output(self) -> Path:
        """The video of `sample`."""
        return self.folder / "out.mp4"


def run(main: Callable[[], None], name: str, arguments: list[str], folder: Path) -> Outcome:
    """Runs a command in this process, as a shell would."""
    out, errors, code = io.StringIO(), io.StringIO(), 0
    handler = logging.StreamHandler(errors)
    logging.getLogger("lhg_jax").addHandler(handler)
    before, sys.argv = sys.argv, [name, *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            run_cli(main)
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
        logging.getLogger("lhg_jax").removeHandler(handler)
    return Outcome(code, " ".join(out.getvalue().split()), errors.getvalue(), folder)


def sampled(path: Path, use: str, folder: Path) -> Outcome:
    """`sample` with the file as speaker, audio, listener, transcript or batch."""
    beside = path.parent
    if use == "batch":
        return run(sample.main, "sample", ["--batch", str(path), "--size", SIZE, "--asr", "none"], folder)
    given = {"speaker": beside / "std.mp4", "listener": beside / "happy.png"} | {use: path}
    if use == "audio":
        given.pop("speaker")
    named = itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in given.items())
    asr = [] if use == "transcript" else ["--asr", "none"]
    output = ["--output", str(folder / "out.mp4"), "--size", SIZE]
    return run(sample.main, "sample", [*named, *asr, *output], folder)


def prepared(path: Path, use: str, folder: Path) -> Outcome:
    """`prepare` on a conversation whose speaker is the file; faces are not tracked."""
    root, motions = folder / "dyads", folder / "motions"
    root.mkdir(), motions.mkdir()
    frames = media.probe(path).frames
    for role, source in {"speaker": path, "listener": path}.items():
        (root / f"a.{role}{source.suffix}").symlink_to(source.resolve())
        values = save_values(frames)
        save_motion(motions / f"a.{role}.npz", values)
    arguments = ["--source", "folder", "--root", str(root), "--out", str(folder / "out"), "--asr", "none"]
    return run(prepare.main, "prepare", [*arguments, "--coefficients", str(motions)], folder)


def save_values(frames: int) -> Motion:
    """A motion of so many frames in which nothing moves."""
    import numpy as np

    return Motion(LANDMARK, np.zeros((frames, LANDMARK.size), np.float32))


def evaluated(path: Path, use: str, folder: Path) -> Outcome:
    """`evaluate` with the file as prediction and as reference."""
    for name in ("predictions", "references"):
        (folder / name).mkdir()
        (folder / name / f"a{path.suffix}").symlink_to(path.resolve())
    arguments = ["--no-track", "--workers", "1", "--output", str(folder / "out")]
    folders = ["--predictions", str(folder / "predictions"), "--references", str(folder / "references")]
    return run(evaluate.main, "evaluate", [*folders, *arguments], folder)


USES: dict[str, Callable[[Path, str, Path], Outcome]] = dict.fromkeys(
    ("speaker", "audio", "listener", "transcript", "batch"), sampled
) | {"prepare": prepared, "evaluate": evaluated}


def check_frames(outcome: Outcome, right: str) -> tuple[str, bool]:
    """Frames that can be decoded, as many as the file says."""
    count = sum(1 for _ in media.read_frames(outcome.output))
    return str(count), count == int(right) == media.probe(outcome.output).frames


def check_click(outcome: Outcome, right: str) -> tuple[str, bool]:
    return near(click_s(media.read_audio(outcome.output)), right, TIME_S)


def check_sound(outcome: Outcome, right: str) -> tuple[str, bool]:
    return near(len(media.read_audio(outcome.output)) / media.SAMPLE_RATE, right, SOUND_S)


def check_says(outcome: Outcome, right: str) -> tuple[str, bool]:
    """Words that the command prints anywhere; it succeeds."""
    text = " ".join((outcome.text + " " + outcome.errors).split())
    return f"exit {outcome.code}: {text[-200:]}", outcome.code == 0 and right in text


def check_error(outcome: Outcome, right: str) -> tuple[str, bool]:
    """One line, exit code 2, and nothing left."""
    lines = [line for line in outcome.errors.splitlines() if line.startswith("error: ")]
    left = list(outcome.folder.glob("out*"))
    is_right = outcome.code == 2 and len(lines) == 1 and right in lines[0] and not left
    return f"exit {outcome.code}: {' '.join(lines)}", is_right


def check_exit(outcome: Outcome, right: str) -> tuple[str, bool]:
    return f"{outcome.code} {outcome.errors.strip()[-200:]}".strip(), outcome.code == int(right)


CHECKS: dict[str, Callable[[Outcome, str], tuple[str, bool]]] = {
    "frames": check_frames,
    "click_s": check_click,
    "sound_s": check_sound,
    "says": check_says,
    "error": check_error,
    "exit": check_exit,
}


def read_table(folder: Path) -> list[dict[str, str]]:
    """The table of the folder, or of this script for the files that are there."""
    own = folder / TABLE.name
    with open(own if own.exists() else TABLE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_use(path: Path, use: str, rows: list[dict[str, str]]) -> Iterator[tuple[str, bool]]:
    """Runs one command, then looks at what each row asks for."""
    with tempfile.TemporaryDirectory() as name:
        try:
            outcome: Outcome | Exception = USES[use](path, use, Path(name))
        except Exception as error:
            outcome = error
        for row in rows:
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                found, is_right = CHECKS[row["check"]](outcome, row["right"])
            except Exception as error:
                found, is_right = f"{type(error).__name__}: {error}", False
                found += "" if isinstance(outcome, Exception) else f" ({outcome.errors.strip()[-200:]})"
            sign = "right" if is_right else "WRONG"
            yield f"{sign}  {use} {path.name}  {row['check']}: {found} (want {row['right']})", is_right


def main() -> None:
    """Prints one line a case."""
    options = tyro.cli(Options, description=__doc__)
    table = [row for row in read_table(options.folder) if options.only in f"{row['file']} {row['use']}"]
    results: list[bool] = []
    for (name, use), rows in itertools.groupby(table, operator.itemgetter("file", "use")):
        for line, is_right in check_use(options.folder / name, use, list(rows)):
            print(line, flush=True)
            results.append(is_right)
    print(f"{sum(results)} of {len(results)} right")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    run_cli(main)
