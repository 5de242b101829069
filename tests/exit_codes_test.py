"""Commands as a shell sees them: the exit code, one line on stderr, and no file where nothing was made."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.io
from media_clips import make_video
from sample_helpers import face_image

from lhg_jax import media

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands")
    media_folder = path / "videos"
    media_folder.mkdir()
    make_video(media_folder / "a.mp4", audio="aac")
    make_video(path / "silent.mp4")
    (path / "broken.mp4").write_bytes((media_folder / "a.mp4").read_bytes()[:3000])
    (path / "face.png").write_bytes(b"\x89PNG\r\n\x1a\n" + np.random.default_rng(0).bytes(500))
    (path / "batch.csv").write_text("speaker;listener;output;transcipt\na;b;c;d\n")
    media.write_audio(path / "talk.wav", np.zeros(8000, np.float32), 16000)
    (path / "talk.srt").write_text("hello")
    skimage.io.imsave(path / "good.png", face_image(), check_contrast=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sample --speaker videos/a.mp4 --listener face.png", "face.png: is"),
        ("sample --speaker silent.mp4 --listener good.png", "silent.mp4: has no sound"),
        ("sample --speaker broken.mp4 --listener good.png", "broken.mp4: "),
        ("sample --audio talk.wav --listener good.png --transcript talk.srt", "talk.srt: line 1: no cue"),
        ("sample --batch batch.csv", "unknown column 'transcipt'"),
        ("sample --audio talk.wav --listener good.png --output talk.wav", "talk.wav: video is written as"),
        ("sample --speaker videos/a.mp4 --listener good.png --output videos/a.mp4", "is one of the inputs"),
        ("sample --speeker videos/a.mp4", "speeker"),
        ("evaluate --predictions none --references videos --output out", "none: no such folder"),
        ("evaluate --predictions videos --references videos --output out --compare talk.srt", "'team'"),
        ("prepare --source folder --root videos --out out", "holds no NAME.speaker.mp4"),
        ("prepare --source vico --root videos --out out", "no .csv here has the columns of ViCo"),
        ("predict --data videos --output out", "no prepared clips here"),
        ("train --config talk.srt --workdir out", "talk.srt"),
        ("train --config none --workdir out", "no such config file"),
        ("export --checkpoint talk.wav --format stablehlo --output out", "talk.wav"),
    ],
)
def test_bad_input_is_one_line_and_code_2(folder, command, words):
    before = sorted(path for path in folder.rglob("*"))
    done = run(folder, command)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(errors) <= 1 and (errors or "speeker" in command)
    assert sorted(path for path in folder.rglob("*")) == before


@pytest.mark.slow
def test_doctor_ends_with_0(folder):
    done = run(folder, "doctor")
    assert done.returncode == 0 and not done.stderr and "ready: sample" in done.stdout


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m lhg_jax.COMMAND` there."""
    name, *arguments = command.split()
    return subprocess.run(
        [sys.executable, "-m", f"lhg_jax.{name}", *arguments],
        cwd=folder,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(folder.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
