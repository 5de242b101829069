"""Draws the evidence grid's report: one HTML page with tables, figures, curves of clips and videos.

  python tools/make_report.py --sweep out/evidence/sweep --speech RECORDINGS

Of the runs that tools/evidence_scores.py has scored. Writes SWEEP/report/report.html, which needs no other
file.
"""

import base64
import dataclasses
import html
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tyro
from evidence_clips import ClipOptions, held_out
from evidence_columns import NEWER, POOLED, RETRIEVAL, RULES, Column
from evidence_figures import courses, curves, means, png, retrieval_bars
from evidence_results import GRID, SEEDS, Row, estimated, paired, read_evidence, runs
from evidence_scores import EXAMPLES
from evidence_stats import Estimate
from evidence_table import cell, completeness, save, verdict
from evidence_video import write_listeners

from lhg_jax.simulator.dyads import Dyad
from lhg_jax.util.errors import run_cli
from lhg_jax.util.progress import say

TEMPLATE = Path(__file__).with_name("evidence_report.html")


@dataclasses.dataclass(frozen=True)
class Options(ClipOptions):
    """What to report on."""

    grid: str = GRID
    """The grid, whose rows the tables have."""
    seeds: tuple[int, ...] = SEEDS
    """Of a whole table."""
    videos: bool = True
    """Draw the examples as videos."""


def main(options: Options) -> None:
    found = read_evidence(options.sweep, options.grid, options.seeds)
    table, others, every = found.table, found.others, found.every
    folder = options.sweep / "report"
    folder.mkdir(parents=True, exist_ok=True)
    missing = completeness(table, found.seeds)
    bars = retrieval_bars(table, RETRIEVAL)
    parts = {
        "facts": facts(table),
        "state": "partial" if missing.startswith("**") else "",
        "completeness": html.escape(missing.replace("**", "")),
        "verdict": f"<p>{html.escape(verdict(table, found.paper, found.baseline).replace('`', ''))}</p>",
        "means": png(means(table, others)),
        "rules": html_table(RULES, every, estimated, others),
        "differences": html_table(RULES, found.compared, lambda r, c: paired(r, table[found.paper], c), {}),
        "pooled": html_table(POOLED, every, estimated, others),
        "newer": html_table(NEWER, every, estimated, others),
        "retrieval": f'<img src="{png(bars)}" alt="retrieval">'
        if bars
        else "<p>No run has text features.</p>",
        "courses": png(courses(options.sweep, table)),
        "examples": examples(options, [found.paper, found.baseline], table, folder),
        "runs": html_runs(table),
    }
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts)
    save(folder / "report.html", page)
    say(f"{folder / 'report.html'}")


def facts(table: Mapping[str, Row]) -> str:
    """What was measured on what, in one line."""
    scores = next(run for row in table.values() for run in row.values())
    speakers = scores["speakers"]
    return (
        f"{len(speakers)} simulated dyads of {len(set(speakers))} people heard in recordings, none of whom "
        "any run has heard in training. The listener keeps known rules. Scores: 1 is a rule followed to the "
        "letter, 0 is unrelated motion. Errors and distances: docs/evaluation.md."
    )


def html_table(
    columns: Sequence[Column],
    rows: Mapping[str, Row],
    of: Callable[[Row, Column], Estimate],
    others: Mapping[str, Row],
) -> str:
    """One table; rows of `others` are paler."""
    heads = "".join(f"<th>{html.escape(f'{c.label} {c.better}')}</th>" for c in columns)
    body = []
    for name, row in rows.items():
        if row:
            cells = "".join(f"<td>{html.escape(cell(of(row, column)))}</td>" for column in columns)
            kind = ' class="other"' if name in others else ""
            body.append(f"<tr{kind}><th>{html.escape(name)}</th><td>{len(row)}</td>{cells}</tr>")
    return (
        f"<table><thead><tr><th></th><th>seeds</th>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def html_runs(table: Mapping[str, Row]) -> str:
    """Every run, and the hashes of its files."""
    body = "".join(
        f"<tr><th>{html.escape(run['name'])} {run['seed']}</th><td>{run['minutes']:.1f}</td>"
        f"<td>{html.escape(run['training'])}</td><td><code>{run['config']:.16}</code></td>"
        f"<td><code>{run['log']:.16}</code></td></tr>"
        for run in runs(table)
    )
    heads = "<th></th><th>minutes</th><th>training</th><th>config.json</th><th>metrics.jsonl</th>"
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def examples(options: Options, names: Sequence[str], table: Mapping[str, Row], folder: Path) -> str:
    """Curves, and videos, of the clips whose motions the rows `names` have kept (of their first seed)."""
    kept = {
        name: options.sweep / name / f"seed{min(table[name])}" / EXAMPLES for name in names if table[name]
    }
    motions = {name: dict(np.load(path)) for name, path in kept.items() if path.exists()}
    if not motions:
        return "<p>None was kept.</p>"
    wanted = list(next(iter(motions.values())))
    found = dyads_named(options, wanted)
    return "".join(
        example(dyad, {name: own[dyad.uuid] for name, own in motions.items()}, folder, options.videos)
        for dyad in found
    )


def dyads_named(options: Options, wanted: Sequence[str]) -> list[Dyad]:
    """The dyads of these names among the held-out clips."""
    about = held_out(options.clips, Path("/"), options.speech, options.speech_cache, 10**6)
    return [clip.dyad for clip in about.clips if clip.dyad.uuid in wanted]


def example(dyad: Dyad, motions: Mapping[str, np.ndarray], folder: Path, with_video: bool) -> str:
    """One clip."""
    said = html.escape(" ".join(word.text for word in dyad.words))
    parts = [f"<h3>{html.escape(dyad.uuid)}</h3><p>“{said}”</p>"]
    if with_video:
        video = folder / f"{dyad.uuid}.mp4"
        poster = base64.b64encode(write_listeners(video, dyad, motions)).decode()
        source = base64.b64encode(video.read_bytes()).decode()
        parts.append(
            f'<video controls preload="metadata" poster="data:image/jpeg;base64,{poster}" '
            f'src="data:video/mp4;base64,{source}"></video>'
        )
    parts.append(f'<img src="{png(curves(dyad, motions))}" alt="curves of {html.escape(dyad.uuid)}">')
    return "".join(parts)


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/make_report.py", description=__doc__)))
