"""Outputs and batches of the sampling command: faults are found before the slow stages; nothing is lost."""

import shutil
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import skimage.data
import skimage.io
from sample_helpers import run, voice, write_clip

from lhg_jax import media, sample
from lhg_jax.motion import LANDMARK, Motion, save_motion
from lhg_jax.pipeline import core, extraction, request
from lhg_jax.pipeline.source import FileSource
from lhg_jax.pipeline.stages import CallbackStages
from lhg_jax.speech.asr import no_words
from lhg_jax.util.errors import UserError


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


def test_a_row_does_not_overwrite_what_another_reads(tmp_path):
    """Neither with the listener beside a pair, nor with a motion; but rows may draw what others save."""
    for name in ("a_listener.mp4", "a.mp4", "b.mp4", "f.png", "m.npz"):
        (tmp_path / name).touch()

    def todo(text, **options):
        (tmp_path / "pairs.csv").write_text(text)
        return sample.requests(sample.Options(batch=tmp_path / "pairs.csv", **options))

    pairs = "speaker,listener,output\nb.mp4,f.png,a.mp4\na_listener.mp4,f.png,c.mp4\n"
    assert len(todo(pairs)) == 2
    with pytest.raises(UserError, match=r"a_listener\.mp4: is an input of another row"):
        todo(pairs, side_by_side=True)
    motions = "speaker,listener,output,save_motion,{}\nb.mp4,f.png,c.mp4,m.npz,\nb.mp4,f.png,d.mp4,,m.npz\n"
    assert len(todo(motions.format("motion"))) == 2
    with pytest.raises(UserError, match=r"m\.npz: is an input of another row"):
        todo(motions.format("speaker_motion"))


def test_a_face_too_small_to_draw_is_found_before_the_slow_stages(folder, tmp_path, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise AssertionError("the slow stages ran")

    monkeypatch.setattr(core.Pipeline, "_extract", refuse)
    speaker = ["--speaker", folder / "talk.mp4", "--listener", folder / "face.png", "--size", 64]
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, *speaker, "--output", tmp_path / "o.mp4")
    assert exit_info.value.code == 2 and "between the eyes are too few" in capsys.readouterr().err


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


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_sound_and_video_of_unequal_lengths_are_worth_a_word(folder, tmp_path, caplog, seconds):
    media.write_audio(tmp_path / "other.wav", voice(seconds), 16000)
    source = FileSource(folder / "talk.mp4", tmp_path / "other.wav", None)
    assert extraction.unequal(0.25, source) is None
    message = extraction.unequal(len(source.wave()) / 16000, source)
    assert message is None if seconds < 0.5 else "3.0 s of sound for 0.2 s of video" in message
    longer = write_clip(tmp_path / "longer.mp4", 30)
    message = extraction.unequal(0.1, FileSource(longer, None, None))
    assert message == "0.1 s of sound for 1.2 s of video: the rest is silence"


def test_a_row_of_stills_is_worth_a_word(tmp_path, caplog):
    times = np.arange(4) / 2
    with media.VideoWriter(tmp_path / "stills.mp4", 16, 16, times, audio=voice(2.0)) as writer:
        for _ in times:
            writer.write(np.zeros((16, 16, 3), np.uint8))
    FileSource(tmp_path / "stills.mp4", None, None)
    assert "stills.mp4: shows 2.0 frames/s, and so will the listener" in caplog.text


@pytest.mark.slow
def test_a_huge_portrait_is_drawn_at_a_size_that_players_show(tmp_path, monkeypatch, capsys):
    image = cv2.resize(skimage.data.astronaut()[:300, 60:460], (8000, 6000), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "huge.jpg"), image[..., ::-1])
    save_motion(tmp_path / "m.npz", Motion(LANDMARK, np.zeros((4, LANDMARK.size), np.float32)))
    run(
        monkeypatch,
        "--listener",
        tmp_path / "huge.jpg",
        "--motion",
        tmp_path / "m.npz",
        "--output",
        tmp_path / "o.mp4",
    )
    info = media.probe(tmp_path / "o.mp4")
    assert (info.width, info.height, info.frames) == (1920, 1440, 4)
    assert "drawn at 1920 x 1440 of its 8000 x 6000 pixels" in " ".join(capsys.readouterr().err.split())
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert bytes(container.streams.video[0].codec_context.extradata)[3] <= 52  # level of the avcC box
