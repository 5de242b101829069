"""`python -m lhg_jax.sample --renderer faceshop`: sizes, timing, sound, background; weights are random."""

import numpy as np
import pytest
import skimage.data
from PIL import Image
from sample_helpers import fails, random_bridge, random_listener, run, run_from_landmarks, write_clip

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
from faceshop_folder import make_folder
from faceshop_tracker import PERSON, SIZE, Tracker

from lhg_jax import faces, media
from lhg_jax.motion import DEEP3D, Motion, load_motion, save_motion
from lhg_jax.render.faceshop.person import portrait_file

FRAMES = 8


@pytest.fixture(autouse=True)
def known_face(monkeypatch):
    monkeypatch.setitem(faces.TRACKERS, "deep3d", "faceshop_tracker:tracker")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A speaker, a portrait that was inverted for a tiny generator, and a motion that turns the head."""
    folder = make_folder(tmp_path_factory.mktemp("faceshop"))
    portrait = np.ascontiguousarray(skimage.data.astronaut()[: 2 * SIZE : 2, 60 : 60 + 2 * SIZE : 2])
    Image.fromarray(portrait).save(folder / "portrait.png")
    PERSON.save(portrait_file(folder, portrait))
    write_clip(folder / "speaker.mp4", FRAMES)
    values = np.tile(Tracker().track_image(portrait).values, (FRAMES, 1))
    values[:, DEEP3D.slice("angle")] += np.linspace(0, 0.3, FRAMES, dtype=np.float32)[:, None]
    save_motion(folder / "motion.npz", Motion(DEEP3D, values))
    return folder


def stages(folder) -> list:
    return [
        "--listener",
        folder / "portrait.png",
        "--renderer",
        "faceshop",
        "--renderer-weights",
        folder,
    ]


def test_the_head_moves_before_the_portraits_background(folder, tmp_path, monkeypatch):
    output, speaker = tmp_path / "o.mp4", folder / "speaker.mp4"
    arguments = ["--speaker", speaker, "--motion", folder / "motion.npz", *stages(folder)]
    run(monkeypatch, *arguments, "--output", output)
    np.testing.assert_allclose(media.frame_times(output), media.frame_times(speaker), atol=1e-6)
    np.testing.assert_array_equal(media.read_audio(output), media.read_audio(speaker))
    frames = np.stack([frame.image for frame in media.read_frames(output)]).astype(int)
    assert frames.shape == (FRAMES, SIZE, SIZE, 3)
    portrait = media.read_image(folder / "portrait.png").astype(int)
    edge, middle = np.s_[:, :12], np.s_[:, 60:100, 60:100]
    assert np.abs(frames[edge] - portrait[:12]).mean() < 8  # the video's compression
    assert np.abs(np.diff(frames[edge], axis=0)).mean() < 2
    assert np.abs(frames[middle][-1] - frames[middle][0]).mean() > 10


@pytest.mark.slow
def test_imagined_by_a_listener_in_this_space(folder, tmp_path, monkeypatch):
    output, speaker = tmp_path / "o.mp4", folder / "speaker.mp4"
    checkpoint = random_listener(tmp_path / "listener.safetensors", DEEP3D)
    arguments = ["--speaker", speaker, "--checkpoint", checkpoint, "--asr", "none", *stages(folder)]
    run(monkeypatch, *arguments, "--save-motion", tmp_path / "m.npz", "--output", output)
    np.testing.assert_allclose(media.frame_times(output), media.frame_times(speaker), atol=1e-6)
    motion = load_motion(tmp_path / "m.npz")
    assert motion.space == DEEP3D and np.isfinite(motion.values).all()


@pytest.mark.slow
def test_the_demo_listener_over_a_bridge(folder, tmp_path, monkeypatch):
    bridge = random_bridge(tmp_path / "bridge.safetensors", DEEP3D)
    way = [*stages(folder), "--bridge", bridge]
    output, speaker = tmp_path / "out" / "o.mp4", folder / "speaker.mp4"
    frames = run_from_landmarks(monkeypatch, output, speaker, *way, checkpoint=None)
    assert frames.shape == (FRAMES, SIZE, SIZE, 3)


def test_what_is_wrong_is_one_line(folder, tmp_path, monkeypatch, capsys):
    motion = ["--motion", folder / "motion.npz"]
    without = ["--listener", folder / "portrait.png", "--renderer", "faceshop"]
    error = fails(monkeypatch, capsys, tmp_path / "o.mp4", *motion, *without)
    assert "--renderer-weights: faceshop needs the folder" in error
    Image.new("RGB", (SIZE, SIZE)).save(tmp_path / "stranger.png")
    stranger = [*motion, *stages(folder), "--listener", tmp_path / "stranger.png"]
    assert "lhg_exporters.invert_portrait" in fails(monkeypatch, capsys, tmp_path / "o.mp4", *stranger)
    demo = [*stages(folder), "--speaker", folder / "speaker.mp4", "--asr", "none"]
    error = fails(monkeypatch, capsys, tmp_path / "o.mp4", *demo)  # the package's listener moves landmarks
    assert "'landmark'" in error and "'deep3d'" in error
