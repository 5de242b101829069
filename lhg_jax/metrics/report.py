"""metrics.json, table.tex and report.html: one page without network, with every clip playable in it."""

import base64
import html
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lhg_jax.metrics import cache, page, plots
from lhg_jax.metrics.leaderboard import (
    CHALLENGE,
    CHALLENGE_SCORES,
    LISTENING,
    Leaderboard,
    Metric,
    Row,
    rank_teams,
    read_rows,
)
from lhg_jax.metrics.summary import Summary
from lhg_jax.metrics.table import EXP_UNIT, POSE_UNIT, TRACKER, describe, number, score_text, write_latex
from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.util.atomic import replacing

MAX_EMBEDDED = 48_000_000  # bytes of video in the page; clips beyond are linked, and the page must stay put
CURVE_POINTS = 600  # of each curve, at most
# Least heights of the plots: a still head shall look still, not like magnified noise.
LEAST_DEG, LEAST_ACTION = 8.0, 0.5


def write_report(
    folder: Path,
    name: str,
    summary: Summary,
    records: Sequence[Mapping[str, Any]],
    problems: Sequence[str],
    others: Mapping[str, Row],
) -> None:
    """Writes the three files into `folder`; what was measured on the clips lies in `folder`/clips.

    Args:
      name: of this run's row.
      records: of single clips (metrics/cache.py).
      problems: what is missing, one line each.
      others: rows of other systems, by name.
    """
    rows = {**others, name: summary.values}
    board = rank_teams(rows)
    cache.write_json(folder / "metrics.json", _as_json(name, summary, records, problems, board))
    write_latex(folder / "table.tex", rows, board)
    parts = {
        "title": html.escape(f"Listening heads: {name}"),
        "facts": _facts(summary),
        "problems": _problems(problems),
        "leaderboard": _leaderboard(rows, board, name),
        "metrics": _metrics(summary),
        "distributions": plots.distributions(records),
        "data": _data(folder, records),
    }
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(page.fill(parts), encoding="utf-8")


def _as_json(
    name: str,
    summary: Summary,
    records: Sequence[Mapping[str, Any]],
    problems: Sequence[str],
    board: Leaderboard,
) -> dict[str, Any]:
    return {
        "name": name,
        "metrics": summary.values,
        "true_listeners": summary.reference_values,
        "notes": summary.notes,
        "tracker": TRACKER,
        "units": {"exp": EXP_UNIT, "pose": POSE_UNIT},
        "frames": summary.frames,
        "clips": summary.clips,
        "clips_with_motion": summary.motion_clips,
        "score": {"rank_sums": {team: board.score(team) for team in board.scores}, "over": list(board.used)},
        "problems": list(problems),
        "per_clip": {r["name"]: {key: r[key] for key in ("metrics", "probes", "warnings")} for r in records},
    }


def _facts(summary: Summary) -> str:
    clips = f"{summary.clips} {'clip' if summary.clips == 1 else 'clips'}"
    return html.escape(
        f"{clips}, {summary.frames} frames; motion of {summary.motion_clips} by {TRACKER}. "
        "Every number pools all frames of all clips, the first included."
    )


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    return f'<section class="problems"><h2>Not measured ({len(problems)})</h2><ul>{items}</ul></section>'


def _leaderboard(rows: Mapping[str, Row], board: Leaderboard, name: str) -> str:
    """The nine metrics of every row, with ranks and scores where there is somebody to compare with."""
    body = "".join(_leaderboard_row(team, rows[team], board, team == name) for team in board.scores)
    used = ", ".join(metric.label for metric in LISTENING if metric.name in board.used)
    ranks = (
        f"<p>Small figures are ranks. The score sums the ranks over the metrics that every row has "
        f"({used or 'none'}); it means nothing outside this table.</p>"
        if board.is_contest
        else ""
    )
    return f"{_board_table(body, 'Score ↓' if board.is_contest else '')}{ranks}{_challenge()}"


def _board_table(body: str, last: str) -> str:
    head = "".join(f"<th>{_label(metric)}</th>" for metric in LISTENING)
    score = f"<th>{last}</th>" if last else ""
    return (
        f'<table class="board cards"><thead><tr><th>Method</th>{head}{score}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _label(metric: Metric) -> str:
    return f"{metric.label} {'↑' if metric.better == 'larger' else '↓'}"


def _leaderboard_row(team: str, row: Row, board: Leaderboard, is_ours: bool) -> str:
    cells = []
    for metric in LISTENING:
        rank = board.ranks[team][metric.name]
        small = f" <small>{rank}</small>" if rank is not None and board.is_contest else ""
        cells.append(_cell(_label(metric), number(row.get(metric.name)) + small))
    if board.is_contest:
        cells.append(_cell("Score ↓", score_text(board, team)))
    mark = ' class="ours"' if is_ours and board.is_contest else ""
    return f"<tr{mark}><th>{html.escape(team)}</th>{''.join(cells)}</tr>"


def _cell(label: str, value: str) -> str:
    """A cell that knows its column's name, which narrow screens show."""
    return f'<td data-label="{html.escape(label)}"><span>{value}</span></td>'


def _challenge() -> str:
    """What the challenge's report prints: other clips, other trackers, so it is not ranked with the rest."""
    body = []
    for (team, row), score in zip(read_rows(CHALLENGE).items(), CHALLENGE_SCORES, strict=True):
        cells = [_cell(_label(metric), number(row.get(metric.name))) for metric in LISTENING]
        cells.append(_cell("Score as printed", str(score)))
        body.append(f"<tr><th>{html.escape(team)}</th>{''.join(cells)}</tr>")
    return (
        "<details><summary>For orientation: the three best of the 2023 challenge</summary>"
        f"{_board_table(''.join(body), 'Score as printed')}"
        "<p>Chang et al., MM '23, Table 1: on the challenge's own test clips, with its own trackers and "
        "networks, so these numbers cannot be set against yours. The scores are quoted; they do not follow "
        "from ranking these three rows.</p></details>"
    )


def _metrics(summary: Summary) -> str:
    rows = []
    for name, value in summary.values.items():
        description, note = describe(name), summary.notes.get(name, "")
        true = number(summary.reference_values.get(name), missing="")
        what = html.escape(description.what) + (f" – <em>{html.escape(note)}</em>" if note else "")
        cells = _cell("Value", number(value)) + (_cell("True listeners", true) if true else "<td></td>")
        arrow = {"higher": " ↑", "lower": " ↓"}.get(description.better, "")
        rows.append(
            f"<tr><th>{html.escape(description.label)}{arrow}</th>{cells}"
            f"<td class='what'>{what}</td><td class='name'><code>{name}</code></td></tr>"
        )
    return (
        '<table class="cards"><thead><tr><th>Metric</th><th>Value</th><th>True listeners</th>'
        "<th class='what'>What</th><th>Name in metrics.json</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _data(folder: Path, records: Sequence[Mapping[str, Any]]) -> str:
    """The clips for the page's script, safe inside a <script> element."""
    clips, embedded = [], 0
    for record in records:
        video = folder / "clips" / f"{record['name']}.mp4"
        source, size = None, video.stat().st_size if video.exists() else 0
        if size and embedded + size <= MAX_EMBEDDED:
            embedded += size
            source = "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()
        elif size:
            source = f"clips/{urllib.parse.quote(video.name)}"
        clips.append(
            {
                "name": record["name"],
                "metrics": record["metrics"],
                "warnings": record["warnings"],
                "video": source,
                "curves": _curves(folder / "clips", record["name"]),
            }
        )
    better = {name: describe(name).better for record in records for name in record["metrics"]}
    labels = {name: describe(name).label for name in better}
    text = json.dumps(cache.finite({"clips": clips, "better": better, "labels": labels}), allow_nan=False)
    return text.replace("<", "\\u003c")


def _curves(folder: Path, name: str) -> dict[str, Any] | None:
    """Curves of both listeners, by label; None if they were not tracked."""
    motions = {role: cache.load_array(folder, name, f"{role}_motion") for role in ("reference", "prediction")}
    rows: dict[str, dict[str, Any]] = {}
    frames = 0
    for role, values in motions.items():
        if values is None:
            return None
        frames = len(values)
        step = -(-frames // CURVE_POINTS)
        for label, curve in _shown(Motion(LANDMARK, values)).items():
            row = rows.setdefault(label, {"least": LEAST_DEG if "°" in label else LEAST_ACTION})
            row[role] = np.round(curve[::step].astype(np.float64), 3).tolist()
    return {"duration_s": frames / FRAME_RATE, "rows": rows}


def _shown(motion: Motion) -> dict[str, np.ndarray]:
    """What people look at first: head angles in degrees, smile and blink as shares of a full one."""
    from lhg_jax.simulator.rule_scores import controls

    actions, angles = controls(motion), np.rad2deg(motion.part("angle"))
    angle_rows = dict(zip(("pitch, °", "yaw, °", "roll, °"), angles.T, strict=True))
    return angle_rows | {name: actions[name] for name in ("smile", "blink")}
