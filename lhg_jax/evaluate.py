"""`python -m lhg_jax.evaluate --predictions DIR --references DIR --output DIR`: all metrics, and a report.

Exit code 0: every clip was measured in full; 1: some were left out, in part or whole, and are listed;
2: nothing could be evaluated.
"""

import dataclasses
import functools
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lhg_jax.metrics import cache, csim
from lhg_jax.metrics.clip import Settings, clip_metrics, measure
from lhg_jax.metrics.labels import read_labels
from lhg_jax.metrics.leaderboard import read_rows
from lhg_jax.metrics.pairs import Pair, find_pairs
from lhg_jax.metrics.players import write_player
from lhg_jax.metrics.report import write_report
from lhg_jax.metrics.summary import Summary, summarise
from lhg_jax.metrics.table import describe, number
from lhg_jax.motion import FRAME_RATE
from lhg_jax.outputs import is_same_file
from lhg_jax.util.cli import Maybe, parse
from lhg_jax.util.compilation_cache import use_compilation_cache
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import StageTimes, console, warn
from lhg_jax.util.workers import available_cores, worker_environment

CLIPS = "clips"  # folder in the output: of each clip its measurements and, for the report, a video


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures predicted listener videos against the true ones; writes JSON, LaTeX and an HTML report."""

    predictions: Path
    """Folder of predicted videos: NAME.listener.mp4 or NAME.mp4."""
    references: Path
    """Folder of the true listeners' videos, named alike."""
    output: Path
    """Folder for report.html, metrics.json, table.tex and the clips' own results."""
    annotations: Maybe[Path] = None
    """A csv with a column `uuid`: exactly these clips. By default, every reference."""
    speakers: Maybe[Path] = None
    """Folder of the speakers' videos (NAME.speaker.mp4): adds rpcc and paired_frechet."""
    labels: Maybe[Path] = None
    """Prepared clips of people whose gestures are labelled (out/ami/test): adds R-F1 against the labels."""
    inception: Maybe[Path] = None
    """Inception weights for FID (pt_inception-2015-12-05-6726825d, .pth or .safetensors)."""
    arcface: Maybe[Path] = None
    """ArcFace network for CSIM, exported by `python -m lhg_exporters` (.onnx)."""
    fid_like_piq: bool = False
    """Also FID with the early-stopped matrix root of the official script."""
    track: bool = True
    """Re-extract coefficients from the videos, for metrics of motion and csim_dlib."""
    compare: Maybe[Path] = None
    """A csv of other systems' rows: team, SSIM, CPBD, PSNR, FID, CSIM, PoseL1, ExpL1, PoseFD, ExpFD."""
    name: str = "this run"
    """What the rows of this run are called."""
    players: bool = True
    """Put videos of the clips into the report."""
    workers: int = 0
    """Processes, on the CPU; 0: one for each core, 1: this process, on JAX's default device."""


def main() -> None:
    """Parses the command line, evaluates, and exits with 1 if a clip is missing anywhere."""
    options = parse(Options, "python -m lhg_jax.evaluate", __doc__)
    use_compilation_cache()
    problems = evaluate(options)
    sys.exit(1 if problems else 0)


def evaluate(options: Options) -> list[str]:
    """Evaluates a test set; returns what could not be measured, one line each.

    Raises:
      UserError: options that make no sense, or not one clip that can be compared.
    """
    if options.workers < 0:
        raise UserError(f"--workers: {options.workers} is negative")
    others = read_rows(options.compare) if options.compare else {}
    if options.name in others:
        raise UserError(f"--name: {options.name!r} is also a row of {options.compare} (choose another)")
    if options.inception and not options.inception.is_file():
        raise UserError(f"{options.inception}: no such file")
    arcface = csim.arcface(options.arcface) if options.arcface else None
    labels = read_labels(options.labels) if options.labels else None
    for folder in filter(None, (options.predictions, options.references, options.speakers)):
        if is_same_file(options.output / CLIPS, folder):
            raise UserError(
                f"{options.output}: its folder {CLIPS}/ is one of the inputs, which would be lost"
            )
    pairs = find_pairs(options.predictions, options.references, options.annotations, options.speakers)
    times = StageTimes()
    outcomes = dict(measure_all(pairs, options, times))
    in_order = [outcomes[pair.name] for pair in pairs]
    records = [outcome for outcome in in_order if isinstance(outcome, dict)]
    problems = list(problems_of(pairs, outcomes))
    if not records:
        raise UserError(f"{options.predictions}: no clip can be compared; the first: {problems[0]}")
    with times.stage("pool"):
        summary = summarise(options.output / CLIPS, records, options.fid_like_piq, labels)
        if arcface:
            summary.notes["csim"] = csim.weights_of(arcface)
    with times.stage("report"):
        write_report(options.output, options.name, summary, records, problems, others)
    show(options, summary, records, problems)
    times.print_table(summary.frames / FRAME_RATE)
    return problems


def measure_all(
    pairs: list[Pair], options: Options, times: StageTimes
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Yields (name, record, or what is wrong with the clip), in order of completion."""
    workers = min(options.workers or available_cores(), len(pairs))
    settings = Settings(options.inception, options.arcface, options.track)
    job = functools.partial(measure_one, options.output / CLIPS, settings, options.players)
    with times.stage("measure", total=len(pairs)) as advance:
        if workers == 1:
            for outcome in map(job, pairs):
                yield outcome
                advance()
            return
        with worker_environment(), multiprocessing.get_context("spawn").Pool(workers) as pool:
            for outcome in pool.imap_unordered(job, pairs):
                yield outcome
                advance()


def measure_one(
    folder: Path, settings: Settings, with_player: bool, pair: Pair
) -> tuple[str, dict[str, Any] | str]:
    """Measures a clip, or takes its result from an earlier run (in a worker)."""
    try:
        mark = cache.fingerprint(pair, settings)
        record = cache.load_record(folder, pair.name, mark)
        if record is None or record["problems"]:  # a problem may be solved by now, e.g. a missing package
            measured = measure(pair, settings)
            cache.save(folder, pair.name, mark, measured, clip_metrics(measured, FRAME_RATE))
            record = cache.load_record(folder, pair.name, mark)
            (folder / f"{pair.name}.mp4").unlink(missing_ok=True)
        assert record is not None and pair.prediction and pair.reference
        if with_player and not (folder / f"{pair.name}.mp4").exists():
            write_player(folder / f"{pair.name}.mp4", pair.prediction, pair.reference)
        return pair.name, record
    except UserError as error:
        return pair.name, str(error)
    except (
        Exception
    ) as error:  # one odd file must not end an evaluation of hours: it is reported like the rest
        return pair.name, f"unexpected {type(error).__name__}: {error}"


def problems_of(pairs: list[Pair], outcomes: dict[str, dict[str, Any] | str]) -> Iterator[str]:
    """One line for each clip left out, and for each part of a clip."""
    for pair in pairs:
        outcome = outcomes[pair.name]
        if isinstance(outcome, str):
            yield f"{pair.name}: left out: {outcome}"
        else:
            yield from (f"{pair.name}: {problem}" for problem in outcome["problems"])


def show(options: Options, summary: Summary, records: list[dict[str, Any]], problems: list[str]) -> None:
    """Prints the numbers, what is missing, what was noted on clips, and where the report is."""
    for problem in problems:
        warn(problem)
    for record in records:
        for note in record["warnings"]:
            console.print(f"note: {record['name']}: {note}", highlight=False, markup=False, soft_wrap=True)
    table = Table("metric", "value", "better", "true listeners", "name in metrics.json")
    for name, value in summary.values.items():
        if value is not None:
            about, true = describe(name), summary.reference_values.get(name)
            arrow = {"higher": "↑", "lower": "↓"}.get(about.better, "")
            table.add_row(escape(about.label), number(value), arrow, number(true, missing=""), name)
    Console().print(table)
    for reason, names in missing(summary).items():
        print(f"not measured ({reason}): {', '.join(names)}")
    console.print(f"{options.output / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def missing(summary: Summary) -> dict[str, list[str]]:
    """Reason -> metrics that have no number."""
    found: dict[str, list[str]] = {}
    for name, value in summary.values.items():
        if value is None:
            found.setdefault(summary.notes.get(name, "no clip had it"), []).append(name)
    return found


if __name__ == "__main__":
    run_cli(main)
