"""Small clips, a listener, and the sampling command run in this process: shared by its tests."""

import dataclasses
import sys
from pathlib import Path

import flax.traverse_util
import jax
import matplotlib
import numpy as np
import pytest
from models_helpers import TINY

from lhg_jax import media
from lhg_jax.bridges import Bridge, save_bridge
from lhg_jax.contract import FeatureSpec
from lhg_jax.listener_checkpoint import ListenerModel, save_listener, template
from lhg_jax.models import Listener
from lhg_jax.motion import LANDMARK, CoefficientSpace, load_motion
from lhg_jax.sample import main
from lhg_jax.util.errors import run_cli

FPS = 24.0
WORD_SIZE = 384  # of the default word encoder


def voice(seconds: float) -> np.ndarray:
    """A buzz in syllables at 16 kHz: not words, but sound with rhythm."""
    t = np.arange(int(seconds * 16000)) / 16000
    return (0.2 * np.sign(np.sin(2 * np.pi * 140 * t)) * (np.sin(2 * np.pi * 3 * t) > 0)).astype(np.float32)


def face_image() -> np.ndarray:
    image = media.read_image(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    return np.ascontiguousarray(image[:512:2, 64:448:2])


def write_clip(path: Path, frames: int, *, image=None, sound=True) -> Path:
    """A face (or `image`) that shifts by a pixel now and then, with sound."""
    image = face_image() if image is None else image
    wave = voice(frames / FPS) if sound else None
    height, width = image.shape[:2]
    with media.VideoWriter(
        path, width, height, np.arange(frames) / FPS, audio=wave, end_s=frames / FPS
    ) as writer:
        for t in range(frames):
            writer.write(np.roll(image, (t // 4) % 3, axis=1))
    return path


def random_listener(
    path: Path, space: CoefficientSpace, word_size: int = WORD_SIZE, words: str = FeatureSpec.words
) -> Path:
    """A listener in `space`, for the default word encoder or another, that has learned nothing."""
    model, rng = Listener(dataclasses.replace(TINY, coeff=space.size)), np.random.default_rng(0)
    features = FeatureSpec(words=words, word_size=word_size, space=space.name)
    flat = flax.traverse_util.flatten_dict(template(model, features))
    values = {
        key: (rng.uniform(0.5, 1.5, x.shape) if key[-1] in ("var", "std") else rng.normal(size=x.shape) * 0.1)
        for key, x in flat.items()
    }
    tree = flax.traverse_util.unflatten_dict({key: x.astype(np.float32) for key, x in values.items()})
    variables = jax.tree.map(np.asarray, tree)
    save_listener(path, ListenerModel(model, variables, features), {})
    return path


def random_bridge(path: Path, target: CoefficientSpace) -> Path:
    """A bridge from `landmark` that means nothing."""
    size = target.slice("exp").stop - target.slice("exp").start
    expression = np.random.default_rng(8).normal(size=(64, size)).astype(np.float32) * 0.1
    turning = np.zeros((64, 3), np.float32)
    save_bridge(
        path, Bridge(LANDMARK, target, expression, turning, {"pitch": 0.91, "yaw": 0.95, "smile": 0.72})
    )
    return path


def run_from_landmarks(
    monkeypatch, output: Path, speaker: Path, *stages, checkpoint: Path | None
) -> np.ndarray:
    """Frames of a video whose listener speaks `landmark` (None: the demo's), whatever the renderer speaks.

    Checks what must hold for all renderers: time stamps, sound, a motion in `landmark`, no other file.
    """
    output.parent.mkdir()
    motion = output.with_suffix(".npz")
    listener = ["--checkpoint", checkpoint] if checkpoint else []
    arguments = ["--speaker", speaker, "--asr", "none", *listener, *stages, "--save-motion", motion]
    run(monkeypatch, *arguments, "--output", output)
    assert set(output.parent.iterdir()) == {output, motion}
    assert load_motion(motion).space == LANDMARK
    np.testing.assert_allclose(media.frame_times(output), media.frame_times(speaker), atol=1e-6)
    np.testing.assert_array_equal(media.read_audio(output), media.read_audio(speaker))
    return np.stack([frame.image for frame in media.read_frames(output)]).astype(int)


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["sample", *map(str, arguments)])
    run_cli(main)


def fails(monkeypatch, capsys, output: Path, *arguments) -> str:
    """Runs a command that must end with code 2 and one line; returns it. Nothing may be left behind."""
    before = set(output.parent.iterdir()) if output.parent.is_dir() else set()
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, *arguments, "--output", output)
    assert exit_info.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert not output.exists()
    if output.parent.is_dir():
        assert set(output.parent.iterdir()) == before
    return error[0]
