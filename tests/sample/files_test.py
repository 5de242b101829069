"""Outputs and batches of the sampling command: faults are found before the slow stages; nothing is lost."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import skimage.io
from sample_helpers import run, voice, write_clip

from lhg_jax import media
from lhg_jax.pipeline import core, extraction, request
from lhg_jax.pipeline.source import FileSource
from lhg_jax.pipeline.stages import CallbackStages
from lhg_jax.speech.asr import no_words


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    skimage.io.imsave(path / "face.png", skimage.data.astronaut()[:300, 80:380], check_contrast=False)
    write_clip(path / "talk.mp4", 6)
    write_clip(path / "talk_listener.mp4", 6)
    media.write_audio(path / "talk.wav", voice(0.5), 16000)
    return path


@pytest.fixture
def nothing_is_made(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the slow stages ran")

    monkeypatch.setattr(core.Pipeline, "listeners", refuse)


@pytest.mark.parametrize(
    ("speaker", "options", "words"),
    [
        ("talk.mp4", ["--output", "talk.mp4"], "talk.mp4: is one of the inputs"),
        ("talk.mp4", ["--output", "face.png"], "face.png: video is written as .mp4"),
        ("talk_listener.mp4", ["--output", "talk.mp4", "--side-by-side"], "talk_listener.mp4: is one of"),
        ("talk.mp4", ["--output", "x.webm"], "x.webm: video is written as .mp4"),
        ("talk.mp4", ["--output", "."], "."),
        ("talk.mp4", ["--output", "talk.wav/x.mp4"], "talk.wav/x.mp4: cannot be written"),
        ("talk.mp4", ["--output", "x.mp4", "--save-motion", "m.mat"], "m.mat: motion is written as .npz"),
        ("talk.mp4", ["--output", "x.mp4", "--save-motion", "talk.wav/m.npz"], "m.npz: cannot be written"),
    ],
)
def test_bad_outputs(folder, tmp_path, monkeypatch, capsys, nothing_is_made, speaker, options, words):
    shutil.copytree(folder, tmp_path / "clips")
    monkeypatch.chdir(tmp_path / "clips")
    before = {path.name: path.stat().st_size for path in (tmp_path / "clips").iterdir()}
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, "--speaker", speaker, "--listener", "face.png", *options)
    assert exit_info.value.code == 2 and words in capsys.readouterr().err
    assert {path.name: path.stat().st_size for path in (tmp_path / "clips").iterdir()} == before


def test_an_exception_belongs_to_its_row(folder, tmp_path, monkeypatch, capsys):
    made = []

    def make(pipeline, asked, edit, drawing):
        made.append(asked.output.name)
        if asked.output.name == "b.mp4":
            raise ValueError("Frame does not match")
        return 1.0

    monkeypatch.setattr(request, "make", make)
    rows = ["speaker,listener,output", *(f"talk.mp4,face.png,{name}.mp4" for name in "abc")]
    (folder / "batch.csv").write_text("\n".join(rows))
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, "--batch", folder / "batch.csv")
    report = " ".join(capsys.readouterr().err.split())
    assert exit_info.value.code == 2 and made == ["a.mp4", "b.mp4", "c.mp4"]
    assert "b.mp4: ValueError: Frame does not match" in report and "1 of 3 clips failed" in report


def test_transcript_outside_the_clip_is_worth_a_word(folder, tmp_path, caplog):
    (tmp_path / "late.srt").write_text("1\n01:00:00,000 --> 01:00:02,000\nhello\n")
    source = FileSource(None, folder / "talk.wav", tmp_path / "late.srt")
    encoder = SimpleNamespace(word_vectors=lambda words: np.zeros((len(words) + 1, 4), np.float32))
    heard = extraction.hear(source, no_words, encoder, CallbackStages())
    assert not heard.word_index.any()
    assert "late.srt: none of its words falls into the clip of 0.5 s" in caplog.text
