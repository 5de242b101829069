"""Training sets made of several folders."""

import dataclasses

import jax
import numpy as np
import pytest
from clip_folder import make_folder

from lhg_jax.contract import FeatureSpec
from lhg_jax.data.joined import open_sources
from lhg_jax.data.records import open_source, read_metadata, write_metadata
from lhg_jax.util.errors import UserError


def rewrite(folder, **changes):
    metadata = read_metadata(folder)["train"]
    write_metadata(folder, {"train": dataclasses.replace(metadata, **changes)})


def test_clips_of_all_folders_one_after_the_other(tmp_path):
    examples = make_folder(tmp_path / "a", (9, 12, 7)) + make_folder(tmp_path / "b", (8, 11))
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(2, 3, (n, 70)) for name, n in (("a", 28), ("b", 19))}
    for name, values in rows.items():
        rewrite(tmp_path / name, mean=values.mean(0).tolist(), std=values.std(0).tolist())
    joined = open_sources(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert len(joined) == 5 and joined.metadata.frames == [9, 12, 7, 8, 11]
    alone = open_source(tmp_path / "b")[1]
    jax.tree.map(np.testing.assert_array_equal, joined[4].features, alone.features)
    np.testing.assert_array_equal(joined[1].listener_motion, open_source(tmp_path / "a")[1].listener_motion)
    assert joined.fingerprint != open_source(tmp_path / "a").fingerprint
    both = np.concatenate(list(rows.values()))
    np.testing.assert_allclose(joined.metadata.mean, both.mean(0))
    np.testing.assert_allclose(joined.metadata.std, both.std(0))
    assert len(examples) == len(joined)


def test_one_folder_stays_itself(tmp_path):
    make_folder(tmp_path / "a")
    assert open_sources(str(tmp_path / "a")).fingerprint == open_source(tmp_path / "a").fingerprint


def test_folders_whose_features_differ_are_refused(tmp_path):
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "b")
    features = open_source(tmp_path / "b").features
    rewrite(tmp_path / "b", features=dataclasses.replace(features, causal=True))
    assert isinstance(features, FeatureSpec)
    with pytest.raises(UserError, match=r"a: causal False; .*b: causal True \(prepare both alike\)"):
        open_sources(f"{tmp_path / 'a'},{tmp_path / 'b'}")
