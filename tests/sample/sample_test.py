"""The sampling command as its users meet it: files in, files out, one-line errors."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skimage.io
import skimage.transform
from PIL import Image
from sample_helpers import FPS, fails, run, voice, write_clip

from lhg_jax import media
from lhg_jax.motion import LANDMARK, Motion, load_motion, save_motion


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A speaker, a portrait and their names with spaces and unicode."""
    folder = tmp_path_factory.mktemp("with spaces é")
    write_clip(folder / "speaker one.mp4", 30)
    skimage.io.imsave(folder / "porträt.png", skimage.data.astronaut()[:300, 80:380], check_contrast=False)
    (folder / "talk.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nyes indeed\n")
    return folder


def test_pair_with_transcript(folder, tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "ünd out.mp4"
    speaker = folder / "speaker one.mp4"
    arguments = [
        "--speaker",
        speaker,
        "--listener",
        folder / "porträt.png",
        "--transcript",
        folder / "talk.srt",
    ]
    run(monkeypatch, *arguments, "--output", output, "--side-by-side", "--save-motion", tmp_path / "m.npz")
    listener = output.with_name("ünd out_listener.mp4")
    assert set(output.parent.iterdir()) == {output, listener}
    for path in (output, listener):
        np.testing.assert_allclose(media.frame_times(path), media.frame_times(speaker), atol=1e-6)
        assert media.probe(path).video_end_s == pytest.approx(media.probe(speaker).video_end_s, abs=1e-6)
        np.testing.assert_array_equal(media.read_audio(path), media.read_audio(speaker))
    assert (media.probe(listener).height, media.probe(listener).width) == (300, 300)
    assert media.probe(output).width > 300
    report = capsys.readouterr().err
    for text in ("tracking", "rendering", "real-time factor", "peak memory"):
        assert text in report
    motion = load_motion(tmp_path / "m.npz")
    assert len(motion) == np.ceil(30 / FPS * 30) and np.isfinite(motion.values).all()

    # The saved motion on another portrait, without a speaker; and the first frame is the portrait itself.
    again = tmp_path / "again.mp4"
    run(monkeypatch, "--motion", tmp_path / "m.npz", "--listener", folder / "porträt.png", "--output", again)
    info = media.probe(again)
    assert info.frames == len(motion) and not info.has_audio


def test_sound_alone(folder, tmp_path, monkeypatch):
    media.write_audio(tmp_path / "talk.wav", voice(1.01), 16000)
    output = tmp_path / "out.mp4"
    arguments = ["--listener", folder / "porträt.png", "--asr", "none", "--output", output]
    run(monkeypatch, "--audio", tmp_path / "talk.wav", *arguments)
    info = media.probe(output)
    assert info.frames == 31 and info.fps == pytest.approx(30) and info.has_audio


def test_one_frame_video(folder, tmp_path, monkeypatch):
    speaker = write_clip(tmp_path / "one.mp4", 1)
    arguments = ["--speaker", speaker, "--listener", folder / "porträt.png", "--asr", "none"]
    run(monkeypatch, *arguments, "--output", tmp_path / "out.mp4")
    assert media.probe(tmp_path / "out.mp4").frames == 1


def test_batch_goes_on_after_a_bad_row_and_skips_finished_ones(folder, tmp_path, monkeypatch, capsys):
    for name in ("speaker one.mp4", "porträt.png", "talk.srt"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "done.mp4").write_text("finished earlier")
    rows = [
        "speaker,listener,output,transcript",
        "speaker one.mp4,porträt.png,done.mp4,talk.srt",
        "missing.mp4,porträt.png,bad.mp4,talk.srt",
        "speaker one.mp4,porträt.png,good.mp4,talk.srt",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, "--batch", tmp_path / "pairs.csv")
    assert exit_info.value.code == 2
    report = capsys.readouterr().err
    assert "1 of 3 clips failed" in report and "skipped" in report
    assert "[2/3] " in report and "missing.mp4: no such file" in report and "[3/3] " in report
    assert (tmp_path / "done.mp4").read_text() == "finished earlier"
    assert media.probe(tmp_path / "good.mp4").frames == 30 and not (tmp_path / "bad.mp4").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing.mp4", None), ("empty.mp4", b""), ("text.mp4", b"hello, not a film\n" * 40)],
)
def test_bad_speaker_is_named(name, content, folder, tmp_path, monkeypatch, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    output = tmp_path / "sub" / "out.mp4"
    error = fails(
        monkeypatch, capsys, output, "--speaker", tmp_path / name, "--listener", folder / "porträt.png"
    )
    assert name in error


def test_folder_as_speaker_and_truncated_speaker(folder, tmp_path, monkeypatch, capsys):
    listener = ["--listener", folder / "porträt.png", "--asr", "none"]
    assert "folder" in fails(monkeypatch, capsys, tmp_path / "o.mp4", "--speaker", folder, *listener)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((folder / "speaker one.mp4").read_bytes()[:-4000])
    assert "cut.mp4" in fails(monkeypatch, capsys, tmp_path / "o.mp4", "--speaker", cut, *listener)


def test_silent_film_asks_for_audio(folder, tmp_path, monkeypatch, capsys):
    speaker = write_clip(tmp_path / "mute.mp4", 10, sound=False)
    error = fails(
        monkeypatch, capsys, tmp_path / "o.mp4", "--speaker", speaker, "--listener", folder / "porträt.png"
    )
    assert "mute.mp4" in error and "--audio" in error


def test_black_speaker_has_no_face(folder, tmp_path, monkeypatch, capsys):
    speaker = write_clip(tmp_path / "black.mp4", 72, image=np.zeros((96, 96, 3), np.uint8))
    error = fails(
        monkeypatch, capsys, tmp_path / "o.mp4", "--speaker", speaker, "--listener", folder / "porträt.png"
    )
    assert "black.mp4" in error and "face" in error


def test_portraits_without_a_usable_face(folder, tmp_path, monkeypatch, capsys):
    speaker = ["--speaker", folder / "speaker one.mp4"]
    for name, image in {
        "noise.png": np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8),
        "tiny.png": skimage.data.astronaut()[:16, :16],
    }.items():
        skimage.io.imsave(tmp_path / name, image, check_contrast=False)
        error = fails(monkeypatch, capsys, tmp_path / "o.mp4", *speaker, "--listener", tmp_path / name)
        assert name in error and "face" in error
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    error = fails(monkeypatch, capsys, tmp_path / "o.mp4", *speaker, "--listener", tmp_path / "broken.png")
    assert "broken.png" in error


def test_two_faces_are_chosen_by_number(folder, tmp_path, monkeypatch, capsys):
    small = skimage.transform.resize(skimage.data.astronaut(), (400, 400), preserve_range=True).astype(
        np.uint8
    )
    big = skimage.data.astronaut()[:400, 60:460]
    pair = tmp_path / "pair.png"
    skimage.io.imsave(pair, np.concatenate([small, big], axis=1), check_contrast=False)
    save_motion(tmp_path / "m.npz", Motion(LANDMARK, np.zeros((2, LANDMARK.size), np.float32)))
    arguments = ["--motion", tmp_path / "m.npz", "--listener", pair]
    run(monkeypatch, *arguments, "--output", tmp_path / "o.mp4")
    assert "warning" in capsys.readouterr().err
    error = fails(monkeypatch, capsys, tmp_path / "x.mp4", *arguments, "--face", 2)
    assert "no face number 2: 2 found" in error


def test_portrait_formats(tmp_path, monkeypatch):
    upright = Image.fromarray(skimage.data.astronaut()[:300, 80:380])
    upright.convert("CMYK").save(tmp_path / "cmyk.jpg")
    upright.convert("RGBA").save(tmp_path / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side, to be turned by a quarter
    upright.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif)
    save_motion(tmp_path / "m.npz", Motion(LANDMARK, np.zeros((2, LANDMARK.size), np.float32)))
    for name in ("cmyk.jpg", "alpha.png", "turned.jpg"):
        output = tmp_path / f"{name}.mp4"
        run(monkeypatch, "--motion", tmp_path / "m.npz", "--listener", tmp_path / name, "--output", output)
        assert media.probe(output).frames == 2


def test_output_that_cannot_be_written(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    save_motion(tmp_path / "m.npz", Motion(LANDMARK, np.zeros((2, LANDMARK.size), np.float32)))
    arguments = ["--motion", tmp_path / "m.npz", "--listener", folder / "porträt.png"]
    error = fails(monkeypatch, capsys, tmp_path / "file" / "o.mp4", *arguments)
    assert "cannot be written" in error


def test_failure_keeps_the_old_output(folder, tmp_path, monkeypatch, capsys):
    output = tmp_path / "o.mp4"
    output.write_text("old")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(SystemExit):
        run(
            monkeypatch,
            "--speaker",
            tmp_path / "empty.mp4",
            "--listener",
            folder / "porträt.png",
            "--output",
            output,
        )
    assert output.read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"o.mp4", "empty.mp4"}


def test_wrong_checkpoints_are_refused(folder, tmp_path, monkeypatch, capsys):
    speaker = ["--speaker", folder / "speaker one.mp4", "--listener", folder / "porträt.png"]
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04\x95")
    error = fails(
        monkeypatch, capsys, tmp_path / "o.mp4", *speaker, "--checkpoint", tmp_path / "pickle.safetensors"
    )
    assert "pickle.safetensors" in error and "safetensors" in error


def test_motion_in_another_space_names_both(folder, tmp_path, monkeypatch, capsys):
    from lhg_jax.motion import DEEP3D

    save_motion(tmp_path / "m.npz", Motion(DEEP3D, np.zeros((5, DEEP3D.size), np.float32)))
    error = fails(
        monkeypatch,
        capsys,
        tmp_path / "o.mp4",
        "--motion",
        tmp_path / "m.npz",
        "--listener",
        folder / "porträt.png",
    )
    assert "deep3d" in error and "landmark" in error


def test_measured_motion_of_the_speaker_replaces_tracking(folder, tmp_path, monkeypatch, capsys):
    """The listener sees what the file says, also where there is nothing to track."""
    media.write_audio(tmp_path / "talk.wav", voice(1.0), 16000)
    shared = ["--audio", tmp_path / "talk.wav", "--listener", folder / "porträt.png", "--asr", "none"]
    nod = np.zeros((30, LANDMARK.size), np.float32)
    nod[:, LANDMARK.slice("angle")] = 0.3 * np.sin(np.arange(30) / 3)[:, None]
    motions = {}
    for name, values in (("still", 0 * nod), ("nod", nod)):
        save_motion(tmp_path / "s.npz", Motion(LANDMARK, values))
        saved = tmp_path / f"{name}.npz"
        arguments = ["--speaker-motion", tmp_path / "s.npz", "--save-motion", saved]
        run(monkeypatch, *shared, *arguments, "--output", tmp_path / "o.mp4")
        motions[name] = load_motion(saved).values
    assert np.abs(motions["still"] - motions["nod"]).max() > 1e-3
    np.savez(tmp_path / "official.npz", coeff=np.zeros((30, 257), np.float32))
    arguments = [*shared, "--speaker-motion", tmp_path / "official.npz"]
    error = fails(monkeypatch, capsys, tmp_path / "p.mp4", *arguments)
    assert "official.npz is in space 'deep3d'" in error and "'landmark'" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speaker", "a.mp4"], "--listener"),
        (["--motion", "m.npz", "--listener", "a.png", "--speaker-motion", "s.mat"], "--speaker-motion"),
        (["--listener", "a.png"], "--speaker"),
        (["--audio", "a.wav", "--listener", "a.png", "--side-by-side"], "--side-by-side"),
        (["--batch", "a.csv", "--listener", "a.png"], "--batch"),
        (["--motion", "m.npz", "--listener", "a.png", "--exp-scale", "-1"], "--exp-scale"),
        (["--motion", "m.npz", "--listener", "a.png", "--renderer", "nerf"], "nerf"),
        (["--motion", "m.npz", "--listener", "a.png", "--restore", "magic"], "magic"),
    ],
)
def test_options_that_mean_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    assert message in fails(monkeypatch, capsys, tmp_path / "o.mp4", *arguments)
