"""`prepare --space`: clips in the space of a renderer, on which a listener is trained that drives it."""

import dataclasses
from typing import get_args

import liveportrait_stand_ins
import numpy as np
import pytest
from prepare_helpers import Letters, run
from sample_helpers import write_clip
from training_configs import make_config

from lhg_jax import faces, media
from lhg_jax.config import AugmentConfig
from lhg_jax.data.records import open_source
from lhg_jax.faces.tracker_options import SpaceOptions
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.motion import LIVEPORTRAIT
from lhg_jax.preparation import extraction
from lhg_jax.preparation.extraction import MediaJob, Recipe
from lhg_jax.preparation.folder import read_folder
from lhg_jax.training import loop


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A conversation, and LivePortrait's motion extractor."""
    monkeypatch.setattr(extraction, "shared_encoder", Letters)
    for who in ("speaker", "listener"):
        write_clip(tmp_path / "in" / f"a.{who}.mp4", 12)
    liveportrait_stand_ins.motion(tmp_path / "motion.onnx")
    return tmp_path


def options(folder) -> list:
    source = ["--source", "folder", "--root", folder / "in", "--asr", "none", "--workers", 1]
    return [*source, "--space", "liveportrait", "--tracker-weights", folder / "motion.onnx"]


def test_clips_in_a_renderers_space(folder, monkeypatch):
    run(monkeypatch, *options(folder), "--out", folder / "out")
    source = open_source(folder / "out")
    assert source.space == LIVEPORTRAIT and source.info(0).motion_source == "tracked"
    frames = media.read_frames(folder / "in" / "a.listener.mp4")
    fit = faces.get_tracker(LIVEPORTRAIT, folder / "motion.onnx").track_video(frames)
    np.testing.assert_allclose(source[0].listener_motion, fit.motion.values, atol=1e-3)  # halves on disk
    assert np.ptp(source[0].listener_motion, axis=0).max() > 0.01


def test_every_tracker_has_its_name_and_its_clips(folder):
    (field,) = (field for field in dataclasses.fields(SpaceOptions) if field.name == "space")
    assert set(get_args(field.type)) == faces.TRACKERS.keys()
    (clip,) = read_folder(folder / "in", "train", None).clips
    weights = folder / "motion.onnx"
    recipes = [Recipe(tracking=SpaceOptions(tracker_weights=weights, space=name)) for name in faces.TRACKERS]
    assert len({MediaJob.plan(clip, recipe).key for recipe in recipes}) == len(recipes)


def test_what_does_not_go_together_is_one_line(folder, monkeypatch, capsys):
    def error(*more) -> str:
        with pytest.raises(SystemExit) as stop:
            run(monkeypatch, *more, "--out", folder / "out")
        assert stop.value.code == 2 and not (folder / "out").exists()
        return capsys.readouterr().err

    assert "needs liveportrait's motion.onnx" in error(*options(folder)[:-2])
    assert "'liveportrait' is asked for" in error(*options(folder), "--tracker", "tddfa")
    assert "synthetic dyads have no faces to track" in error("--space", "liveportrait")


@pytest.mark.slow
def test_a_listener_is_trained_in_it(folder, monkeypatch):
    run(monkeypatch, *options(folder), "--out", folder / "out")
    config = make_config(folder / "out", augment=AugmentConfig(mirror=0.0), steps=2)
    summary = loop.train(config, folder / "run")
    assert summary.finished
    assert load_listener(folder / "run" / "listener.safetensors").features.space == "liveportrait"
