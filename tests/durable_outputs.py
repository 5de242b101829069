"""Writes every kind of output, in a process that its parent stops or starves.

`python tests/durable_outputs.py loop FOLDER` overwrites them again and again; `... full FOLDER` writes each
once with a limit on the size of files, which acts like a full disk.
"""

import itertools
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

LIMIT = 20_000  # bytes


def write_video(path: Path, version: int) -> None:
    from lhg_jax import media

    images = np.random.default_rng(version).integers(0, 256, (version % 7 + 20, 64, 64, 3), np.uint8)
    with media.VideoWriter(path, 64, 64, np.arange(len(images)) / 25) as writer:
        for image in images:
            writer.write(image)


def write_sound(path: Path, version: int) -> None:
    from lhg_jax import media

    media.write_audio(path, np.full(40_000 + version, 0.5, np.float32), 16000)


def write_motion(path: Path, version: int) -> None:
    from lhg_jax.motion import LANDMARK, Motion, save_motion

    save_motion(path, Motion(LANDMARK, np.full((400, LANDMARK.size), version, np.float32)))


def write_weights(path: Path, version: int) -> None:
    from lhg_jax.weights import save_weights

    save_weights(path, {"a": np.full(50_000, version, np.float32)}, {"version": str(version)})


def write_blendshapes(path: Path, version: int) -> None:
    from lhg_jax.live_link import write_live_link
    from lhg_jax.motion import LANDMARK, Motion

    frames = 200 + version % 7
    motion = Motion(LANDMARK, np.zeros((frames, LANDMARK.size), np.float32))
    write_live_link(path, motion, np.arange(frames) / 30, frames / 30)


def write_clips(path: Path, version: int) -> None:
    from lhg_jax.data.records import write_shard

    write_shard(path, [bytes([version % 256]) * 30_000] * 3)


def write_json(path: Path, version: int) -> None:
    from lhg_jax.metrics.cache import write_json as write

    write(path, {"version": version, "values": [float(version)] * 5000})


def write_text(path: Path, version: int) -> None:
    from lhg_jax.util.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_text(f"{version} " * 20_000)


def read_video(path: Path) -> None:
    from lhg_jax import media

    assert media.probe(path).frames == sum(1 for _ in media.read_frames(path)) >= 20


def read_sound(path: Path) -> None:
    from lhg_jax import media

    assert np.abs(media.read_audio(path)[100:40_000] - 0.5).max() < 1e-3


def read_motion(path: Path) -> None:
    from lhg_jax.motion import load_motion

    assert np.ptp(load_motion(path).values) == 0


def read_weights(path: Path) -> None:
    from lhg_jax.weights import load_weights

    tree, metadata = load_weights(path)
    assert (tree["a"] == int(metadata["version"])).all()


def read_blendshapes(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) > 200 and len({line.count(",") for line in lines}) == 1


def read_clips(path: Path) -> None:
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    records = ArrayRecordDataSource([str(path)])
    assert len({records[index] for index in range(3)}) == 1 and len(records[0]) == 30_000


def read_json(path: Path) -> None:
    found = json.loads(path.read_text())
    assert found["values"] == [found["version"]] * 5000


def read_text(path: Path) -> None:
    words = path.read_text().split()
    assert len(words) == 20_000 and len(set(words)) == 1


KINDS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], None]]] = {
    "out.mp4": (write_video, read_video),
    "out.wav": (write_sound, read_sound),
    "out.npz": (write_motion, read_motion),
    "out.safetensors": (write_weights, read_weights),
    "out.csv": (write_blendshapes, read_blendshapes),
    "out.array_record-00000-of-00001": (write_clips, read_clips),
    "out.json": (write_json, read_json),
    "out.html": (write_text, read_text),
}


def main(mode: str, folder: Path) -> None:
    """See the head of the file."""
    from lhg_jax.util.errors import UserError

    for name, (write, _) in KINDS.items():
        write(folder / name, 0)
    print("ready", flush=True)
    if mode == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        for name, (write, _) in KINDS.items():
            try:
                write(folder / name, 1)
                print(f"{name}: written", flush=True)
            except UserError as error:
                print(f"error: {error}", flush=True)
        return
    for version in itertools.count(1):
        for name, (write, _) in KINDS.items():
            write(folder / name, version)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
