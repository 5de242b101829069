"""`--tracker tddfa`: a video and a prepared clip without dlib's landmarks, as where they may not be used."""

import shutil

import pytest
from prepare_helpers import run as prepare
from stage_files import export

from lhg_jax import media, sample
from lhg_jax.data.records import open_source
from lhg_jax.faces import dlib_models
from lhg_jax.util.errors import run_cli

pytestmark = pytest.mark.slow


@pytest.fixture
def tddfa(shared, tmp_path, monkeypatch) -> list:
    """The options, where the research model is not there."""
    pytest.importorskip("torch")
    path = export("tddfa", shared / "weights/3ddfa_v2/mb05_120x120.pth", tmp_path / "tddfa.onnx")

    def missing():
        raise AssertionError("the landmark model was asked for")

    monkeypatch.setattr(dlib_models, "shape_predictor", missing)
    return ["--tracker", "tddfa", "--tracker-weights", path]


def test_a_video(tddfa, shared, tmp_path, monkeypatch, capsys):
    speaker = shared / "data/real/dyad_speaker.mp4"
    transcript = tmp_path / "said.srt"
    transcript.write_text("1\n00:00:00,500 --> 00:00:02,000\nnobody listens\n")
    arguments = [
        "--speaker",
        speaker,
        "--listener",
        shared / "data/real/happy.png",
        "--transcript",
        transcript,
    ]
    monkeypatch.setattr(
        "sys.argv", ["sample", *map(str, [*arguments, *tddfa, "--output", tmp_path / "o.mp4"])]
    )
    run_cli(sample.main)
    made, given = media.probe(tmp_path / "o.mp4"), media.probe(speaker)
    assert made.frames == given.frames and made.has_audio


def test_prepared_clips_say_so(tddfa, shared, tmp_path, monkeypatch):
    for side in ("speaker", "listener"):
        shutil.copy(shared / f"data/real/dyad_{side}.mp4", tmp_path / f"in.{side}.mp4")
    out = tmp_path / "out"
    prepare(
        monkeypatch,
        "--source",
        "folder",
        "--root",
        tmp_path,
        "--out",
        out,
        "--asr",
        "none",
        "--workers",
        1,
        *tddfa,
    )
    source = open_source(out)
    assert source.info(0).motion_source == "tracked by tddfa" and source.info(0).space == "landmark"
