import importlib.util
import json

import numpy as np
import pytest
import safetensors.numpy
from metrics_clips import noise, write

from lhg_jax.metrics import cache, clip, inception
from lhg_jax.metrics.pairs import Pair
from lhg_jax.metrics.summary import summarise
from lhg_jax.motion import Motion


def test_clips_of_the_simulator_are_probed():
    pytest.importorskip("espeakng_loader")
    from lhg_jax.simulator.dyads import synthesise
    from lhg_jax.simulator.rule_scores import SCORES, probe

    dyad = synthesise(0, 5)
    found = clip._probe(dyad.uuid, dyad.listener, [])
    expected = probe(dyad.listener, dyad)
    np.testing.assert_allclose(
        [found[name] for name in SCORES], [expected[name] for name in SCORES], atol=1e-6
    )
    longer = Motion(dyad.listener.space, np.concatenate([dyad.listener.values, dyad.listener.values[-2:]]))
    np.testing.assert_equal(clip._probe(dyad.uuid, longer, []), found)
    assert found["nod_f1"] > 0.5
    assert clip._probe("another name", dyad.listener, []) == {}


def test_records_on_disk(tmp_path):
    measured = clip.Measured({"psnr": np.arange(3.0)}, {"nod_f1": float("nan")}, ["w"], [])
    cache.save(tmp_path, "a", "mark", measured, {"psnr": 1.0, "exp_jitter": float("nan")})
    record = cache.load_record(tmp_path, "a", "mark")
    assert record["metrics"] == {"psnr": 1.0, "exp_jitter": None} and record["warnings"] == ["w"]
    assert cache.load_record(tmp_path, "a", "another mark") is None
    np.testing.assert_array_equal(cache.load_array(tmp_path, "a", "psnr"), np.arange(3.0))
    assert cache.load_array(tmp_path, "a", "ssim") is None
    (tmp_path / "a.json").write_text("[")
    assert cache.load_record(tmp_path, "a", "mark") is None


@pytest.mark.slow
def test_fid_from_weights(shared, tmp_path):
    spec = importlib.util.spec_from_file_location("fill", shared / "golden/fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    manifest = json.loads((shared / "golden/fid_inception.manifest.json").read_text())
    weights = tmp_path / "inception.safetensors"
    safetensors.numpy.save_file(fill.state_dict(manifest, 121), weights)
    truth, prediction = noise(5, 96, 80, 0), noise(5, 96, 80, 1)
    files = {"reference": truth, "prediction": prediction}
    pair = Pair("c", **{role: write(tmp_path / f"{role}.mkv", images) for role, images in files.items()})
    settings = clip.Settings(weights, track=False)
    measured = clip.measure(pair, settings)
    params = inception.load(weights)
    for role, images in files.items():
        expected = np.asarray(inception.features(params, images))
        found = measured.arrays[f"{role}_features"]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    metrics = clip.clip_metrics(measured, 30.0)
    cache.save(tmp_path, "c", "mark", measured, metrics)
    summary = summarise(tmp_path, [cache.load_record(tmp_path, "c", "mark")])
    means = [measured.arrays[f"{role}_features"].mean(axis=0) for role in files]
    assert summary.values["fid"] > ((means[0] - means[1]) ** 2).sum()
    assert "singular" in summary.notes["fid"]
