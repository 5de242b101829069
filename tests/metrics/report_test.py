import html.parser
import json
import re

import pytest
from metrics_browser import BINARY, Browser
from metrics_clips import face, write

from lhg_jax.evaluate import Options, evaluate
from lhg_jax.metrics import report
from lhg_jax.metrics.summary import Summary

CLIPS = ("<!--<script>", "first", "fourth", "third & last")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Four tracked clips with players; names that would break careless HTML."""
    folder = tmp_path_factory.mktemp("evaluated")
    for index, name in enumerate(CLIPS):
        write(folder / f"ref/{name}.listener.mkv", face(20, 5))
        write(folder / f"pred/{name}.listener.mkv", face(20, index))
    write(folder / "ref/lost.listener.mkv", face(2, 0))
    rows = folder / "rows.csv"
    rows.write_text("team,SSIM,PSNR,CPBD,PoseL1,ExpL1,PoseFD,ExpFD\nother <system>,0.5,20,0.2,1,1,1,1\n")
    evaluate(Options(folder / "pred", folder / "ref", folder / "out", compare=rows, workers=1, name="ours"))
    return folder / "out"


class Tags(html.parser.HTMLParser):
    """Counts tags and checks that they are closed in order."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(evaluated):
    page = (evaluated / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and tags.count["h1"] == 1
    assert not re.search(r'(src|href)="?(https?:)?//', page)
    assert not re.search(r"\$[a-z]+", page.split("<script")[0])
    assert "lost: left out" in page and "other &lt;system&gt;" in page
    assert page.count('<td data-label="Score as printed">') == 3 and "26.76" in page
    assert page.count("landmark (dlib") == 1


def test_data_of_the_page(evaluated):
    page = (evaluated / "report.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
    assert [clip["name"] for clip in data["clips"]] == list(CLIPS)
    clip = data["clips"][0]
    assert clip["video"].startswith("data:video/mp4;base64,")
    assert set(clip["curves"]["rows"]) == {"pitch, °", "yaw, °", "roll, °", "smile", "blink"}
    assert len(clip["curves"]["rows"]["roll, °"]["prediction"]) == 20
    assert max(clip["curves"]["rows"]["roll, °"]["reference"]) > 3  # degrees


def test_one_system_has_no_score_anywhere(evaluated, tmp_path):
    result = json.loads((evaluated / "metrics.json").read_text())
    assert set(result["score"]["rank_sums"]) == {"ours", "other <system>"}
    alone = report.rank_teams({"ours": result["metrics"]})
    text = report._leaderboard({"ours": result["metrics"]}, alone, "ours").split("<details>")[0]
    assert "Score" not in text and "ranks" not in text and "ours" in text and 'class="ours"' not in text
    report.write_latex(tmp_path / "t.tex", {"ours": result["metrics"]}, alone)
    *_, row = [line for line in (tmp_path / "t.tex").read_text().splitlines() if line.startswith("ours")]
    assert row.endswith(r"& -- \\")
    summary = Summary(values=result["metrics"])
    assert report._as_json("ours", summary, [], [], alone)["score"]["rank_sums"] == {"ours": None}


@pytest.mark.skipif(BINARY is None, reason="Chromium is not installed (apt-get install chromium)")
def test_nothing_is_cut_off_on_a_phone(evaluated, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(evaluated / "report.html", width=420)
        assert browser.run("document.documentElement.scrollWidth") <= 420
        cells = "[...document.querySelectorAll('.cards, .cards td')]"
        assert browser.run(f"{cells}.filter(cell => cell.scrollWidth > cell.clientWidth + 1).length") == 0
        assert browser.run("getComputedStyle(document.querySelector('.hint')).display") == "block"


def test_videos_beyond_the_limit_are_linked(evaluated, monkeypatch, tmp_path):
    result = json.loads((evaluated / "metrics.json").read_text())
    records = [
        {"name": name, "metrics": row["metrics"], "warnings": []} for name, row in result["per_clip"].items()
    ]
    one = (evaluated / f"clips/{CLIPS[0]}.mp4").stat().st_size
    monkeypatch.setattr(report, "MAX_EMBEDDED", one + 1)
    clips = json.loads(report._data(evaluated, records))["clips"]
    assert clips[0]["video"].startswith("data:")
    assert clips[3]["video"] == "clips/third%20%26%20last.mp4"


@pytest.mark.skipif(BINARY is None, reason="Chromium is not installed (apt-get install chromium)")
def test_page_in_a_browser(evaluated, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(evaluated / "report.html")
        assert browser.run("document.querySelectorAll('#best .player').length") == 2
        assert browser.run("document.querySelectorAll('#worst .player').length") == 2
        assert browser.run("document.querySelectorAll('.plots figure').length") >= 8
        assert browser.run("document.querySelectorAll('#clips tbody tr').length") == 4
        before, after, seconds = browser.run(PLAY)
        assert before == 0 and after > 0 and seconds > 0
        browser.run("document.querySelector('circle[data-clip^=third]').dispatchEvent(new Event('click'))")
        assert browser.run("document.querySelector('#chosen h3').textContent") == "third & last"
        browser.run(CHOOSE_PSNR)
        best = browser.run("document.querySelector('#best .player').dataset.clip")
        metrics = json.loads((evaluated / "metrics.json").read_text())["per_clip"]
        assert best == max(metrics, key=lambda name: metrics[name]["metrics"]["psnr"])
        assert browser.complaints == []
        assert all(url.startswith(("file:", "data:")) for url in browser.requests)


PLAY = """(async () => {
  const video = document.querySelector('video');
  const head = video.closest('.player').querySelector('.playhead');
  const before = Number(head.getAttribute('x1'));
  await video.play();
  await new Promise(done => setTimeout(done, 400));
  video.pause();
  return [before, Number(head.getAttribute('x1')), video.currentTime];
})()"""
CHOOSE_PSNR = """(() => {
  const choice = document.getElementById('metric');
  choice.value = 'psnr';
  choice.dispatchEvent(new Event('change'));
})()"""
