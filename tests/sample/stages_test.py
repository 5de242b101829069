"""`python -m lhg_jax.sample` with PIRenderer and RVRT: sizes, timing, sound; the pictures mean nothing."""

import numpy as np
import pytest
import skimage.data
import skimage.io
import stage_stand_ins
from sample_helpers import FPS, fails, random_bridge, random_listener, run, run_from_landmarks, write_clip

from lhg_jax import faces, media
from lhg_jax.motion import DEEP3D, DEEP3D_CROP, LANDMARK, TDDFA, Motion, load_motion, save_motion

FRAMES = 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A speaker, a portrait, a motion, and stand-ins for both networks."""
    folder = tmp_path_factory.mktemp("stages")
    write_clip(folder / "speaker.mp4", FRAMES)
    skimage.io.imsave(folder / "portrait.png", skimage.data.astronaut()[:240, 80:361], check_contrast=False)
    values = np.tile(stage_stand_ins.Tracker().track_image(np.zeros((240, 281, 3))).values, (12, 1))
    save_motion(folder / "motion.npz", Motion(DEEP3D_CROP, values))
    random_listener(folder / "landmark.safetensors", LANDMARK)
    random_bridge(folder / "bridge.safetensors", DEEP3D_CROP)
    stage_stand_ins.pirenderer(folder / "p.onnx")
    stage_stand_ins.rvrt(folder / "r.onnx", frames=4, rows=64, columns=64)
    return folder


@pytest.fixture(autouse=True)
def stand_in_tracker(monkeypatch):
    monkeypatch.setitem(faces.TRACKERS, "deep3d_crop", "stage_stand_ins:tracker")


def stages(folder) -> list:
    return ["--renderer", "pirenderer", "--renderer-weights", folder / "p.onnx"]


def test_saved_motion_is_rendered_and_restored(folder, tmp_path, monkeypatch):
    arguments = ["--motion", folder / "motion.npz", "--listener", folder / "portrait.png", *stages(folder)]
    restore = ["--restore", "rvrt", "--restore-weights", folder / "r.onnx"]
    run(monkeypatch, *arguments, *restore, "--output", tmp_path / "whole.mp4")
    info = media.probe(tmp_path / "whole.mp4")
    assert (info.frames, info.height, info.width) == (12, 4 * 240, 4 * 281)
    assert info.fps == pytest.approx(30)
    run(monkeypatch, *arguments, "--paste", "crop", "--output", tmp_path / "crop.mp4")
    info = media.probe(tmp_path / "crop.mp4")
    assert (info.frames, info.height, info.width) == (12, 256, 256)


def test_speaker_keeps_time_stamps_and_sound(folder, tmp_path, monkeypatch):
    output, speaker = tmp_path / "o.mp4", folder / "speaker.mp4"
    arguments = ["--speaker", speaker, "--motion", folder / "motion.npz"]
    run(monkeypatch, *arguments, "--listener", folder / "portrait.png", *stages(folder), "--output", output)
    np.testing.assert_allclose(media.frame_times(output), np.arange(FRAMES) / FPS, atol=1e-6)
    np.testing.assert_array_equal(media.read_audio(output), media.read_audio(speaker))


def test_other_spaces_and_missing_weights_are_one_line(folder, tmp_path, monkeypatch, capsys):
    save_motion(tmp_path / "m.npz", Motion(DEEP3D, np.zeros((2, DEEP3D.size), np.float32)))
    listener = ["--listener", folder / "portrait.png"]
    other = ["--motion", tmp_path / "m.npz", *listener, *stages(folder)]
    error = fails(monkeypatch, capsys, tmp_path / "o.mp4", *other)
    assert "'deep3d'" in error and "'deep3d_crop'" in error
    plain = ["--motion", folder / "motion.npz", *listener, "--renderer", "pirenderer"]
    assert "--renderer-weights" in fails(monkeypatch, capsys, tmp_path / "o.mp4", *plain)
    restore = [*plain, "--renderer-weights", folder / "p.onnx", "--restore", "rvrt"]
    assert "--restore-weights" in fails(monkeypatch, capsys, tmp_path / "o.mp4", *restore)
    wrong = [*restore, "--restore-weights", folder / "p.onnx"]
    assert "not a network made by" in fails(monkeypatch, capsys, tmp_path / "o.mp4", *wrong)


def imagine(monkeypatch, folder, tmp_path, renderer, restorer) -> media.MediaInfo:
    """The command of docs/weights.md with a listener in this space; checks all but the picture's size."""
    output, speaker = tmp_path / "o.mp4", folder / "speaker.mp4"
    arguments = ["--speaker", speaker, "--listener", folder / "portrait.png", "--asr", "none"]
    arguments += ["--checkpoint", random_listener(tmp_path / "listener.safetensors", DEEP3D_CROP)]
    arguments += ["--renderer", "pirenderer", "--renderer-weights", renderer]
    arguments += ["--restore", "rvrt", "--restore-weights", restorer]
    run(monkeypatch, *arguments, "--save-motion", tmp_path / "m.npz", "--output", output)
    np.testing.assert_allclose(media.frame_times(output), media.frame_times(speaker), atol=1e-6)
    np.testing.assert_array_equal(media.read_audio(output), media.read_audio(speaker))
    motion = load_motion(tmp_path / "m.npz")
    assert motion.space == DEEP3D_CROP and np.isfinite(motion.values).all()
    return media.probe(output)


def test_imagined_by_a_listener_in_this_space(folder, tmp_path, monkeypatch):
    info = imagine(monkeypatch, folder, tmp_path, folder / "p.onnx", folder / "r.onnx")
    assert (info.frames, info.height, info.width) == (FRAMES, 4 * 240, 4 * 281)


@pytest.mark.parametrize("demo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_listener_of_landmarks_over_a_bridge(demo, folder, tmp_path, monkeypatch, capsys):
    checkpoint = None if demo else folder / "landmark.safetensors"
    way = ["--listener", folder / "portrait.png", *stages(folder), "--bridge", folder / "bridge.safetensors"]
    if demo:  # the liveliest there is, for eight seconds: the stand-in shows one coefficient
        way += ["--seed", 0, "--liveliness", 2, "--smiles", 2, "--nods", 2, "--blinks", 2]
    count = 240 if demo else FRAMES
    output, speaker = tmp_path / "out" / "o.mp4", write_clip(tmp_path / "speaker.mp4", count)
    frames = run_from_landmarks(monkeypatch, output, speaker, *way, checkpoint=checkpoint)
    assert frames.shape == (count, 240, 282, 3)
    assert np.abs(np.diff(frames, axis=0)).max() > 10
    said = [line for line in capsys.readouterr().err.splitlines() if "bridge" in line]
    assert len(said) == 1 and "smile 0.72" in said[0] and "'deep3d_crop'" in said[0]


def test_ways_that_lead_nowhere_are_one_line(folder, tmp_path, monkeypatch, capsys):
    speaker = ["--speaker", folder / "speaker.mp4", "--asr", "none", "--listener", folder / "portrait.png"]
    speaker += ["--checkpoint", folder / "landmark.safetensors"]

    def error(*stages) -> str:
        return fails(monkeypatch, capsys, tmp_path / "o.mp4", *speaker, *stages)

    assert "python -m lhg_jax.fit_bridge" in error(*stages(folder))
    random_bridge(tmp_path / "tddfa.safetensors", TDDFA)
    elsewhere = error(*stages(folder), "--bridge", tmp_path / "tddfa.safetensors")
    assert "leads to space 'tddfa'" in elsewhere and "'deep3d_crop'" in elsewhere
    assert "not a bridge" in error(*stages(folder), "--bridge", folder / "landmark.safetensors")
    assert "no such file" in error(*stages(folder), "--bridge", tmp_path / "none.safetensors")
    other = ["--renderer", "pirenderer", "--renderer-weights", folder / "r.onnx"]
    assert "another network" in error(*other, "--bridge", folder / "bridge.safetensors")
    monkeypatch.setitem(faces.TRACKERS, "deep3d_crop", "lhg_jax.faces.deep3d:load_with_crop")
    way = [*stages(folder), "--bridge", folder / "bridge.safetensors"]
    assert "--tracker-weights" in error(*way)
    assert "another network" in error(*way, "--tracker-weights", folder / "p.onnx")


@pytest.mark.slow
def test_with_the_networks_themselves(folder, tmp_path, monkeypatch, one_thread):
    """Random weights in PIRenderer and in a small RVRT."""
    torch = pytest.importorskip("torch")
    from rvrt_weights import TINY_DENOISER, random_network
    from stage_files import export

    from lhg_exporters.pirenderer.network import PIRenderer

    torch.manual_seed(0)
    torch.save({"net_G_ema": PIRenderer().state_dict()}, tmp_path / "p.pt")
    torch.save({"params": random_network(TINY_DENOISER).state_dict()}, tmp_path / "r.pth")
    renderer = export("pirenderer", tmp_path / "p.pt", tmp_path / "p.onnx")
    restorer = export("rvrt", tmp_path / "r.pth", tmp_path / "r.onnx", tile=(4, 120, 144))
    info = imagine(monkeypatch, folder, tmp_path, renderer, restorer)
    assert (info.frames, info.height, info.width) == (FRAMES, 240, 282)  # files have even sizes
    way = ["--renderer", "pirenderer", "--renderer-weights", renderer]
    way += ["--listener", folder / "portrait.png", "--bridge", folder / "bridge.safetensors"]
    output = tmp_path / "demo" / "o.mp4"
    frames = run_from_landmarks(monkeypatch, output, folder / "speaker.mp4", *way, checkpoint=None)
    assert frames.shape == (FRAMES, 240, 282, 3)
