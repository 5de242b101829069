"""The sampling command cut short, or given what it must refuse: the old output stays, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skimage.io
from sample_helpers import FPS, face_image, fails, run, voice

from lhg_jax import media
from lhg_jax.listener_checkpoint import DEMO
from lhg_jax.motion import LANDMARK, Motion, save_motion
from lhg_jax.weights import load_weights, save_weights

SAMPLE = "from lhg_jax.util.errors import run_cli; from lhg_jax.sample import main; run_cli(main)"
# Python does not listen to SIGINT where it was started with that signal ignored, as in the background.
LISTENS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
SMALL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); "


@pytest.fixture(scope="module")
def portrait(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "face.png"
    skimage.io.imsave(path, skimage.data.astronaut()[:300, 80:380], check_contrast=False)
    return path


def write_motion(path: Path, frames: int) -> Path:
    """A head that sways."""
    values = np.zeros((frames, LANDMARK.size), np.float32)
    values[:, LANDMARK.slice("angle")] = 0.1 * np.sin(0.3 * np.arange(frames))[:, None]
    save_motion(path, Motion(LANDMARK, values))
    return path


def write_speaker(path: Path, seen: list[bool]) -> Path:
    """A face that can be seen in some frames; the others are black."""
    face = face_image()
    height, width = face.shape[:2]
    times, end_s = np.arange(len(seen)) / FPS, len(seen) / FPS
    with media.VideoWriter(path, width, height, times, audio=voice(end_s), end_s=end_s) as writer:
        for visible in seen:
            writer.write(face if visible else np.zeros_like(face))
    return path


def start(folder: Path, portrait: Path, *, frames: int, before: str = "") -> subprocess.Popen:
    """The command in a process of its own, on its way to replace folder/o.mp4."""
    (folder / "o.mp4").write_text("old")
    motion = write_motion(folder / "m.npz", frames)
    arguments = ["--motion", motion, "--listener", portrait, "--output", folder / "o.mp4"]
    command = [sys.executable, "-c", LISTENS + before + SAMPLE, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def only_the_old_output(folder: Path) -> bool:
    return {path.name for path in folder.iterdir()} == {"o.mp4", "m.npz"} and (
        (folder / "o.mp4").read_text() == "old"
    )


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_while_rendering(number, code, word, portrait, tmp_path):
    process = start(tmp_path, portrait, frames=20_000)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".o.*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    try:
        _, report = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, report
    assert f"error: {word}" in report and "Traceback" not in report
    assert only_the_old_output(tmp_path)


def test_full_disk(portrait, tmp_path):
    """A limit on the size of files acts like a full disk."""
    process = start(tmp_path, portrait, frames=120, before=SMALL_DISK)
    _, report = process.communicate(timeout=120)
    assert process.returncode == 2, report
    assert f"error: {tmp_path / 'o.mp4'}: cannot be written" in report and "Traceback" not in report
    assert only_the_old_output(tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody may write to")
def test_folder_that_is_not_writable(portrait, tmp_path, monkeypatch, capsys):
    arguments = ["--motion", write_motion(tmp_path / "m.npz", 2), "--listener", portrait]
    error = fails(monkeypatch, capsys, Path("/proc/self/o.mp4"), *arguments)
    assert "/proc/self/o.mp4: cannot be written" in error


def test_output_that_is_a_folder(portrait, tmp_path, monkeypatch, capsys):
    (tmp_path / "o.mp4").mkdir()
    arguments = ["--motion", write_motion(tmp_path / "m.npz", 2), "--listener", portrait]
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, *arguments, "--output", tmp_path / "o.mp4")
    assert exit_info.value.code == 2 and "is a folder" in capsys.readouterr().err
    assert not list((tmp_path / "o.mp4").iterdir())


def test_a_face_lost_for_a_moment_is_a_warning(portrait, tmp_path, monkeypatch, capsys):
    speaker = write_speaker(tmp_path / "gap.mp4", [True] * 8 + [False] * 6 + [True] * 10)
    arguments = ["--speaker", speaker, "--listener", portrait, "--asr", "none"]
    run(monkeypatch, *arguments, "--output", tmp_path / "o.mp4")
    assert "gap.mp4: the face is lost in 6 of 24 frames" in capsys.readouterr().err.replace("\n", " ")
    assert media.probe(tmp_path / "o.mp4").frames == 24


def test_a_face_lost_in_most_frames_is_an_error(portrait, tmp_path, monkeypatch, capsys):
    speaker = write_speaker(tmp_path / "lost.mp4", [True] * 8 + [False] * 16)
    arguments = ["--speaker", speaker, "--listener", portrait, "--asr", "none"]
    error = fails(monkeypatch, capsys, tmp_path / "o.mp4", *arguments)
    assert "lost.mp4" in error and "lost in 16 of 24 frames" in error


def fails_with(checkpoint: Path, portrait: Path, monkeypatch, capsys) -> str:
    """The error of the command for a voice and this listener; see `fails`."""
    sound = checkpoint.with_name("talk.wav")
    media.write_audio(sound, voice(0.5), 16000)
    arguments = ["--audio", sound, "--listener", portrait, "--asr", "none", "--checkpoint", checkpoint]
    return fails(monkeypatch, capsys, checkpoint.with_name("o.mp4"), *arguments)


def test_checkpoints_that_do_not_fit_are_never_loaded_in_part(portrait, tmp_path, monkeypatch, capsys):
    variables, metadata = load_weights(DEMO)
    del variables["params"]["decoder"]["output"]["bias"]
    variables["params"]["decoder"]["output"]["kernel"] = np.zeros((3, 70), np.float32)
    save_weights(tmp_path / "part.safetensors", variables, metadata)
    error = fails_with(tmp_path / "part.safetensors", portrait, monkeypatch, capsys)
    assert "missing: params/decoder/output/bias" in error
    assert "params/decoder/output/kernel (3, 70) instead of" in error


def test_checkpoint_in_another_space_names_both(portrait, tmp_path, monkeypatch, capsys):
    variables, metadata = load_weights(DEMO)
    features = json.dumps(json.loads(metadata["features"]) | {"space": "deep3d"})
    save_weights(tmp_path / "other.safetensors", variables, metadata | {"features": features})
    error = fails_with(tmp_path / "other.safetensors", portrait, monkeypatch, capsys)
    assert "deep3d" in error and "landmark" in error


def test_pickled_motion_is_refused(portrait, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "m.npz", values=np.array([{"a": 1}], dtype=object))
    arguments = ["--motion", tmp_path / "m.npz", "--listener", portrait]
    assert "m.npz" in fails(monkeypatch, capsys, tmp_path / "o.mp4", *arguments)
