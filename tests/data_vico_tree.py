"""Small folders shaped like ViCo, with real media files and coefficients, and what can be wrong with them."""

import csv
import wave
from pathlib import Path

import numpy as np
from scipy.io import savemat

from lhg_jax import media
from lhg_jax.preparation.vico import CHALLENGE_COLUMNS, FULL_COLUMNS

FRAMES = 33


def write_video(path: Path, frames: int = FRAMES) -> None:
    """Without sound, 30 frames/s, of noise 16 pixels wide."""
    rng = np.random.default_rng(frames)
    with media.VideoWriter(path, 16, 16, np.arange(frames) / 30) as writer:
        for _ in range(frames):
            writer.write(rng.integers(0, 255, (16, 16, 3), np.uint8))


def write_sound(path: Path, frames: int = FRAMES) -> None:
    """A tone at 44.1 kHz as long as that many frames."""
    tone = 0.3 * np.sin(np.arange(round(frames / 30 * 44100)) * 0.02).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_audio(path, tone, 44100)


def write_coefficients(path: Path, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    """A published .mat; returns `coeff` [T, 257]."""
    rng = np.random.default_rng(seed)
    coeff = rng.normal(size=(frames, 257)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"coeff": coeff, "transform_params": rng.uniform(0, 256, (frames, 5)).astype(np.float32)})
    return coeff


def write_table(path: Path, columns, rows) -> None:
    """In UTF-8; the surrogate of a byte is written as that byte."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


class Tree:
    """A data set `root` and its coefficients `coefficients`, in one of the two layouts."""

    def __init__(self, folder: Path):
        self.root, self.coefficients = folder / "vico", folder / "coefficients"
        self.tables: dict[str, list[list[str]]] = {}
        for path in (self.root / "videos", self.root / "audios", self.coefficients):
            path.mkdir(parents=True)
        self._model_video, self._model_sound = folder / "model.mp4", folder / "model.wav"
        write_video(self._model_video)
        write_sound(self._model_sound)

    def options(self) -> list:
        """Of `python -m lhg_jax.prepare`: these files as they are, and no recogniser."""
        return ["--source", "vico", "--root", self.root, "--coefficients", self.coefficients, "--asr", "none"]

    def add_files(self, speaker: str, listener: str, sound: str) -> None:
        """Both videos, both coefficients, the sound."""
        for stem in (speaker, listener):
            self.video(stem).write_bytes(self._model_video.read_bytes())
            write_coefficients(self.coefficients / f"{stem}.mat", seed=len(list(self.coefficients.iterdir())))
        self.sound(sound).write_bytes(self._model_sound.read_bytes())

    def video(self, stem: str) -> Path:
        return self.root / "videos" / f"{stem}.mp4"

    def sound(self, stem: str) -> Path:
        return self.root / "audios" / f"{stem}.wav"


class ChallengeTree(Tree):
    """One table a split."""

    def add(self, uuid: str, split: str = "train", listener_id: str = "7") -> None:
        self.add_files(f"{uuid}.speaker", f"{uuid}.listener", uuid)
        self.tables.setdefault(split, []).append(["video_1", uuid, "3", listener_id])

    def write_tables(self) -> None:
        for split, rows in self.tables.items():
            write_table(self.root / f"{split}.csv", CHALLENGE_COLUMNS, rows)


class FullTree(Tree):
    """One table with attitudes and splits."""

    def add(self, number: int, split: str, attitude: str) -> list[str]:
        """Returns the row, which is in the table already."""
        stems = f"v{number}_l", f"v{number}_s", f"some_video_{number}_0"
        self.add_files(stems[1], stems[0], stems[2])
        row = [attitude, stems[2], stems[0], stems[1], f"{10 + number}", f"{20 + number}", split]
        self.tables.setdefault("RLD_data", []).append(row)
        return row

    def write_tables(self) -> None:
        write_table(self.root / "RLD_data.csv", ("attitude", *FULL_COLUMNS), self.tables["RLD_data"])


def damage(tree: ChallengeTree) -> dict[str, str]:
    """Adds a clip of each kind that cannot be used; returns what the report must say of each."""
    for uuid in ("nolistener", "nosound", "unequal", "corrupt"):
        tree.add(uuid)
    tree.video("nolistener.listener").unlink()
    (tree.coefficients / "nolistener.listener.mat").unlink()
    with wave.open(str(tree.sound("nosound")), "wb") as file:
        file.setparams((1, 2, 44100, 0, "NONE", ""))
    write_video(tree.video("unequal.listener"), 45)
    write_coefficients(tree.coefficients / "unequal.listener.mat", 45)
    tree.video("corrupt.speaker").write_bytes(tree.video("corrupt.speaker").read_bytes()[:900])
    tree.tables["train"] += [
        ["v", "good0", "3", "7"],
        ["v", "../../secret", "3", "7"],
        ["v", "latin\udce9", "3", "7"],
    ]
    tree.add("nosplit", split="somewhere")
    return {
        "nolistener": "the listener's video is missing",
        "nosound": "no sound can be decoded",
        "unequal": "unequal lengths: speaker 33 frames, listener 45",
        "corrupt": "corrupt.speaker.mp4: truncated or damaged",
        "good0": "uuid good0 occurs before",
        "../../secret": "leads out of the data's folder",
        "latin\\xe9": "uuid is not in UTF-8",
        "nosplit": "unknown split 'somewhere'",
    }
