"""Writes every kind of output, in a process that its parent stops or starves.

`python tests/durable_outputs.py loop FOLDER` overwrites them again and again; `... full FOLDER` writes each
once with a limit on the size of files, which acts like a full disk.
"""

import itertools
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


def read_text(path: Path) -> None:
    words = path.read_text().split()
    assert len(words) == 20_000 and len(set(words)) == 1


KINDS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], None]]] = {
    "out.mp4": (write_video, read_video),
    "out.wav": (write_sound, read_sound),
    "out.npz": (write_motion, read_motion),
    "out.safetensors": (write_weights, read_weights),
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
