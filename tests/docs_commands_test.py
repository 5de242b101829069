"""Commands of the documents, run as they stand there, in a folder that has the files that they name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
import skimage.io
from data_vico_tree import write_table
from sample_helpers import write_clip

from lhg_jax import media
from lhg_jax.preparation.vico import CHALLENGE_COLUMNS

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def commands(page: str) -> list[str]:
    """Every command in the blocks of a page that are for the shell; lines that end with a backslash go on."""
    found = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    text = "".join(code for language, code in found if language in ("", "sh", "bash"))
    return [line for line in text.replace("\\\n", " ").splitlines() if "python " in line]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A clip, a portrait, a conversation, two of ViCo, a trained listener in DIR; this Python as .venv."""
    place = tmp_path_factory.mktemp("commands")
    talk = write_clip(place / "talk.mp4", 40)
    skimage.io.imsave(place / "face.png", skimage.data.astronaut()[:300, 80:380], check_contrast=False)
    for folder, names in (("dyads", ["monday"]), ("ViCo/videos", ["a", "b"])):
        (place / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(talk, place / folder / f"{name}.speaker.mp4")
            shutil.copy(talk, place / folder / f"{name}.listener.mp4")
    (place / "ViCo" / "audios").mkdir()
    for split, name in (("train", "a"), ("test", "b")):
        media.write_audio(place / "ViCo" / "audios" / f"{name}.wav", media.read_audio(talk), 16000)
        write_table(place / "ViCo" / f"{split}.csv", CHALLENGE_COLUMNS, [["v", name, "s", f"l{name}"]])
    (place / "DIR").mkdir()
    shutil.copy(ROOT / "lhg_jax" / "assets" / "demo.safetensors", place / "DIR" / "listener.safetensors")
    (place / ".venv").symlink_to(sys.prefix)
    return place


def run(place: Path, page: str, pattern: str) -> str:
    """Runs the one command of a page that a pattern finds; returns what it prints."""
    [command] = [line for line in commands(page) if re.search(pattern, line)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        ["bash", "-c", command], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


@pytest.mark.slow
def test_a_clip_of_ones_own(place):
    assert "wrote out.mp4" in run(place, "README.md", "sample --speaker.* --output out.mp4$")
    run(place, "docs/animation.md", "--export-motion")
    assert (place / "listener.csv").read_text().startswith("Timecode,")
    assert "ready: sample" in run(place, "docs/weights.md", "doctor --tracker")


@pytest.mark.slow
def test_from_conversations_to_scores(place):
    assert "wrote data/dyads (1 clip)" in run(place, "README.md", "--source folder")
    assert "wrote data/vico (2 clips)" in run(place, "README.md", "--source vico")
    run(place, "README.md", "lhg_jax.predict")
    run(place, "README.md", "lhg_jax.evaluate")
    assert (place / "out" / "scores" / "report.html").exists()
    run(place, "README.md", "lhg_jax.export")
    assert (place / "mine.stablehlo").exists()
