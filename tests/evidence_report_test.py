import html.parser
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from evidence_runs import scored
from metrics_browser import BINARY, Browser

from lhg_jax.simulator.dyads import synthesise
from lhg_jax.util.errors import UserError

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import evidence_figures
import make_report


@pytest.fixture
def sweep_folder(tmp_path, monkeypatch):
    """Two runs with the motions of one dyad."""
    dyad = synthesise(5, 1)
    monkeypatch.setattr(make_report, "dyads_named", lambda *_: [dyad])
    for name, share in (("paper", 0.8), ("vico_baseline", 0.1)):
        folder = scored(tmp_path, name, 0, nods=share, top_1=0.3)
        values = dyad.listener.values
        moved = values[:1] + share * (values - values[:1])
        np.savez_compressed(folder / "examples.npz", **{dyad.uuid: moved.astype(np.float32)})
    floor = tmp_path / "references" / "still"
    floor.mkdir(parents=True)
    shutil.copy(tmp_path / "paper/seed0/scores.json", floor)
    return tmp_path


class Balance(html.parser.HTMLParser):
    """Checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_all_of_every_course_is_drawn(tmp_path):
    table = {}
    for name, errors in {"paper": (0.5, 0.6), "vico_baseline": (2.0, 1.0)}.items():
        folder = scored(tmp_path, name, 0)
        lines = [
            {"kind": "eval", "step": step, "pose_l1": error, "exp_l1": error}
            for step, error in enumerate(errors)
        ]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        table[name] = {0: {}}
    for axes in evidence_figures.courses(tmp_path, table).axes:
        low, high = axes.get_ylim()
        assert low == 0 and high >= 2.0
        assert len(axes.lines) == 2


def test_the_seeds_of_a_row_have_one_colour_and_rows_their_own(tmp_path):
    rows = [f"row{number}" for number in range(12)]
    for name in rows:
        for seed in (0, 1):
            folder = scored(tmp_path, name, seed)
            line = {"kind": "eval", "step": 1, "pose_l1": 1.0, "exp_l1": 1.0}
            (folder / "metrics.jsonl").write_text(json.dumps(line))
    for axes in evidence_figures.courses(tmp_path, {name: {0: {}, 1: {}} for name in rows}).axes:
        colors = [line.get_color() for line in axes.lines]
        assert colors[::2] == colors[1::2] and len(set(colors)) == len(rows)


def test_the_page_is_whole_and_needs_no_network(sweep_folder):
    make_report.main(make_report.Options(sweep_folder, Path("speech"), videos=False))
    page = (sweep_folder / "report/report.html").read_text()
    balance = Balance()
    balance.feed(page)
    assert balance.open == [] and not re.search(r'(src|href)="?(https?:)?//', page)
    assert not re.search(r"\$[a-z]+", page)
    assert "PARTIAL: 2 of 36 runs" in page and "do not overlap" not in page
    assert page.count('<img src="data:image/png;base64,') == 4  # means, retrieval, courses, one clip
    assert '<tr class="other"><th>still</th>' in page and "<td>-0.7 ± " in page


def test_a_sweep_without_scores_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no run is scored \(tools/evidence_scores\.py\)"):
        make_report.main(make_report.Options(tmp_path, Path("speech")))


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(BINARY is None, reason="Chromium is not installed (apt-get install chromium)")
def test_the_page_opens_without_complaints_and_its_videos_play(sweep_folder, tmp_path):
    make_report.main(make_report.Options(sweep_folder, Path("speech")))
    with Browser(tmp_path / "profile") as browser:
        browser.open(sweep_folder / "report/report.html")
        videos = browser.run(
            "Promise.all([...document.querySelectorAll('video')].map(v => v.readyState ? v.duration :"
            " new Promise(f => v.onloadedmetadata = () => f(v.duration))))"
        )
        broken = browser.run("[...document.images].filter(i => !i.naturalWidth).length")
        assert browser.run("document.documentElement.scrollWidth") <= 1240
        assert browser.complaints == [] and broken == 0
        assert not [url for url in browser.requests if not url.startswith(("file:", "data:"))]
    assert videos == [pytest.approx(len(synthesise(5, 1).listener) / 30, abs=0.1)]
