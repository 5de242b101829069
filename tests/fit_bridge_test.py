"""`python -m lhg_jax.fit_bridge`: from clips and portraits to a file that `sample --bridge` takes."""

import sys

import numpy as np
import pytest
import skimage.data
import skimage.io
import stage_stand_ins
from sample_helpers import write_clip

from lhg_jax import fit_bridge
from lhg_jax.bridges import load_bridge
from lhg_jax.fit_bridge import Pair, correlation, correlations, fit
from lhg_jax.motion import DEEP3D, DEEP3D_CROP, LANDMARK
from lhg_jax.util.errors import run_cli

SHOWN = {"pitch", "yaw", "roll", *fit_bridge.SHOWN}


def command(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["fit_bridge", *map(str, arguments)])
    run_cli(fit_bridge.main)


@pytest.fixture
def folder(tmp_path):
    write_clip(tmp_path / "clip.mp4", 10)
    skimage.io.imsave(tmp_path / "face.png", skimage.data.astronaut()[:240, 80:360], check_contrast=False)
    stage_stand_ins.deep3d(tmp_path / "deep3d.onnx")
    return tmp_path


@pytest.mark.parametrize("space", [DEEP3D, DEEP3D_CROP])
def test_a_bridge_from_one_command(space, folder, monkeypatch, capsys):
    monkeypatch.setattr(fit_bridge, "FRAMES", 12)
    output = folder / "bridge.safetensors"
    faces = ["--videos", folder / "clip.mp4", "--portraits", folder / "face.png"]
    weights = ["--target", space.name, "--tracker-weights", folder / "deep3d.onnx"]
    command(monkeypatch, *weights, *faces, "--output", output)
    bridge = load_bridge(output)
    assert (bridge.source, bridge.target) == (LANDMARK, space)
    assert bridge.correlation.keys() == SHOWN and np.abs(bridge.expression).max() > 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["clip.mp4", "face.png,", "median", "wrote"]


def test_what_cannot_be_fitted_is_one_line(folder, monkeypatch, capsys):
    def error(target="deep3d", videos=("clip.mp4", "clip.mp4"), output="b.safetensors") -> str:
        weights = ["--target", target, "--tracker-weights", folder / "deep3d.onnx"]
        clips = ["--videos", *(folder / name for name in videos)]
        with pytest.raises(SystemExit):
            command(monkeypatch, *weights, *clips, "--output", folder / output)
        assert not (folder / "b.safetensors").exists()
        [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return line

    assert "no tracker gives the space 'flame' (known: tddfa" in error(target="flame")
    assert "at least two faces" in error(videos=("clip.mp4",))
    assert "no such file" in error(videos=("clip.mp4", "none.mp4"))
    assert "bridge is written as .safetensors" in error(output="b.npz")


def test_a_linear_target_is_bridged_without_loss(monkeypatch):
    monkeypatch.setattr(fit_bridge, "TURNING_RIDGE", 1e-6)
    rng = np.random.default_rng(6)
    wanted, turning = rng.normal(size=(64, 64)), 0.2 * rng.normal(size=(64, 3))

    def pair(name: str) -> Pair:
        source = rng.normal(size=(300, LANDMARK.size))
        signs = [1, -1, -1]  # of deep3d, yaw and roll go the other way
        angles = source[:, 64:67] * signs + source[:, :64] @ turning + 0.2
        parts = [source[:, :64] @ wanted + 3.0, angles, rng.normal(size=(300, 3))]
        return Pair(name, source, np.concatenate(parts, axis=1))

    found = fit([pair("a"), pair("b")], "deep3d", 1e-6)
    np.testing.assert_allclose(found[0], wanted, atol=1e-2)
    np.testing.assert_allclose(found[1], turning, atol=1e-2)
    scores = correlations(pair("c"), "deep3d", found)
    assert scores.keys() == SHOWN and min(scores.values()) > 0.99


def test_what_stands_still_has_no_correlation():
    assert correlation(np.ones(5), np.arange(5.0)) == 0
    assert correlation(np.arange(5.0), -2 * np.arange(5.0)) == pytest.approx(-1)
