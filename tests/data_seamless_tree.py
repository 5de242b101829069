"""A small folder shaped like Seamless Interaction, in shards and unpacked, and what can be wrong with it."""

import json
import tarfile
from pathlib import Path

import av
import numpy as np

from lhg_jax import media

SECONDS = 24
# When each of the two speaks; the second says a word into the first one's turn.
TURNS = (((1.0, 11.0),), ((6.0, 6.4), (12.5, 22.0)))
PEOPLE = ("P0010", "P0020")


def annotation(turns) -> dict:
    """As published: voice activity, and a transcript whose words have scores, some of them no times."""
    words = [
        {"word": f"word{number}", "start": float(start), "end": float(start) + 0.35, "score": 0.9}
        for a, b in turns
        for number, start in enumerate(np.arange(a, b - 0.3, 0.5))
    ]
    words.append({"word": "untimed", "start": None, "end": None, "score": None})
    transcript = [{"words": words, "start": turns[0][0], "end": turns[-1][1], "transcript": "..."}]
    return {
        "id": "x",
        "metadata:vad": [{"start": a, "end": b} for a, b in turns],
        "metadata:transcript": transcript,
    }


class SeamlessTree:
    """`root/{label}/{split}/{batch}/{archive}` with files of participants."""

    def __init__(self, folder: Path):
        self.root = folder / "seamless"
        folder.mkdir(parents=True, exist_ok=True)
        self.videos = [write_video(folder / f"{level}.mp4", level) for level in (40, 140)]
        wave = np.random.default_rng(0).normal(0, 0.05, SECONDS * 16000).astype(np.float32)
        media.write_audio(folder / "model.wav", wave, 16000)
        self.sound = folder / "model.wav"

    def options(self) -> list:
        """Of `python -m lhg_jax.prepare`."""
        return ["--source", "seamless", "--root", self.root, "--workers", "1"]

    def add(
        self, interaction: str, split: str = "train", archive: int = 0, people: tuple[str, ...] = PEOPLE
    ) -> Path:
        """An interaction, unpacked; returns its folder."""
        folder = self.root / "improvised" / split / "0000" / f"{archive:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number, person in enumerate(people):
            base = folder / f"{interaction}_{person}"
            base.with_suffix(".mp4").hardlink_to(self.videos[number % 2])
            base.with_suffix(".wav").hardlink_to(self.sound)
            base.with_suffix(".json").write_text(json.dumps(annotation(TURNS[number % 2])))
            base.with_suffix(".npz").write_bytes(b"their features")
        return folder

    def pack(self, split: str = "train", archive: int = 0) -> Path:
        """Puts what is in an unpacked archive into a shard, as WebDataset writes it."""
        folder = self.root / "improvised" / split / "0000" / f"{archive:04d}"
        shard = folder.with_suffix(".tar")
        with tarfile.open(shard, "w", dereference=True) as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
                path.unlink()
        folder.rmdir()
        return shard


def write_video(path: Path, level: int) -> Path:
    """10 frames/s of one brightness, which rises by 2 a second."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(10 * SECONDS):
            image = np.full((32, 32, 3), level + 2 * (number // 10), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def write(path: Path, text: str | bytes) -> None:
    """In place of a file that may be another one, too."""
    path.unlink()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def damage(tree: SeamlessTree) -> dict[str, str]:
    """Adds an interaction of each kind that cannot be used; returns what the report must say of each."""
    said: dict[str, str] = {}

    def add(reason: str, people: tuple[str, ...] = PEOPLE) -> tuple[Path, str]:
        name = f"V00_S0009_I{len(said):08d}"
        said[name] = reason
        return tree.add(name, archive=5, people=people), name

    def path(reason: str, person: str, suffix: str) -> Path:
        folder, name = add(reason)
        return folder / f"{name}_{person}{suffix}"

    silent = annotation(((1.0, 2.0),)) | {"metadata:vad": [], "metadata:transcript": []}
    short = annotation(((1.0, 2.0),))
    add("1 participants (P0010), not two", PEOPLE[:1])
    add("3 participants", ("P0010", "P0020", "P0030A"))
    path("P0020.mp4 is missing", "P0020", ".mp4").unlink()
    path("P0010.wav is missing", "P0010", ".wav").unlink()
    path("P0010.json is missing", "P0010", ".json").unlink()
    write(path("0 bytes are no annotations", "P0010", ".json"), "")
    write(path("not the annotations of a participant", "P0010", ".json"), '{"metadata:vad": [')
    write(path("not the annotations of a participant", "P0020", ".json"), b"\xff\xfe\x00")
    write(path("not the annotations of a participant", "P0010", ".json"), "[]")
    write(
        path("not the annotations of a participant", "P0010", ".json"),
        '{"metadata:vad": [{"start": "x", "end": 1}]}',
    )
    write(path("P0010 has neither voice activity nor words", "P0010", ".json"), json.dumps(silent))
    folder, name = add("nobody speaks for 8 s while the other listens")
    for person in PEOPLE:
        write(folder / f"{name}_{person}.json", json.dumps(short))
    return said


def damage_media(tree: SeamlessTree) -> dict[str, str]:
    """Adds interactions whose recordings cannot be used; returns what the report must say of the clips."""
    said = {}
    for number, (suffix, data, reason) in enumerate(
        (
            ("_P0010.wav", b"", "is empty (0 bytes)"),
            ("_P0010.wav", tree.sound.read_bytes()[: 32000 * 5], "ends after"),
            ("_P0020.mp4", b"no video" * 100, "not a media file, or damaged"),
        )
    ):
        name = f"V01_S0001_I{number:08d}"
        write(tree.add(name, archive=6) / f"{name}{suffix}", data)
        said[f"{name}-P0010-P0020-0000500"] = reason
    return said
