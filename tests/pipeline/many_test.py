"""Rows of a batch in workers: finished ones are left alone, and a failed one leaves its reason."""

import sys

import pytest
import skimage.data
import skimage.io
from sample_helpers import random_listener, run, write_clip

from lhg_jax import media
from lhg_jax.motion import LANDMARK
from lhg_jax.pipeline import many
from lhg_jax.pipeline.core import ONE
from lhg_jax.pipeline.edit import UNCHANGED
from lhg_jax.pipeline.many import Settings, make_row, reason_path
from lhg_jax.pipeline.request import Request
from lhg_jax.util.errors import UserError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("a.png: no face"), "a.png: no face"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0 (alone, it tells where)"),
    ],
)
def test_a_row_that_fails_leaves_its_reason(error, text, tmp_path, monkeypatch):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(many, "open_once", lambda settings: None)
    monkeypatch.setattr(many, "make", fail)
    request = Request(tmp_path / "a.png", tmp_path / "out.mp4")
    make_row(Settings(), UNCHANGED, ONE, request)
    assert reason_path(request).read_text() == text
    assert list(tmp_path.iterdir()) == [reason_path(request)]

    # Made at the next try: the reason goes.
    monkeypatch.setattr(many, "make", lambda *_: request.output.write_bytes(b"made"))
    make_row(Settings(), UNCHANGED, ONE, request)
    assert list(tmp_path.iterdir()) == [request.output]
    monkeypatch.setattr(many, "make", fail)
    make_row(Settings(), UNCHANGED, ONE, request)  # it is there: not made again
    assert list(tmp_path.iterdir()) == [request.output]


@pytest.mark.slow
def test_a_batch_on_beam(tmp_path, monkeypatch, capsys):
    pytest.importorskip("apache_beam")
    write_clip(tmp_path / "talk.mp4", 6)
    skimage.io.imsave(tmp_path / "face.png", skimage.data.astronaut()[:300, 80:380], check_contrast=False)
    random_listener(tmp_path / "l.safetensors", LANDMARK)
    rows = ["speaker,listener,output", "talk.mp4,face.png,a.mp4", "none.mp4,face.png,b.mp4"]
    (tmp_path / "rows.csv").write_text("\n".join([*rows, "talk.mp4,face.png,c.mp4"]))
    arguments = [
        "--batch",
        tmp_path / "rows.csv",
        "--checkpoint",
        tmp_path / "l.safetensors",
        "--asr",
        "none",
    ]
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, *arguments, "--runner", "DirectRunner")
    report = " ".join(capsys.readouterr().err.split())
    assert (
        exit_info.value.code == 2 and "1 of 3 clips failed" in report and "none.mp4: no such file" in report
    )
    assert [media.probe(tmp_path / f"{name}.mp4").frames for name in "ac"] == [6, 6]
    assert not list(tmp_path.glob(".*"))


def test_a_runner_needs_a_batch(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sample"])
    with pytest.raises(SystemExit):
        run(monkeypatch, "--runner", "DirectRunner")
    assert "--runner: makes the rows of a --batch" in capsys.readouterr().err
