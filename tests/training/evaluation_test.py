"""Rule probes inside a run: synthetic clips are made again from their names and scored as a user would."""

import dataclasses

import numpy as np
import pytest
from training_configs import make_config
from training_toy import random_example

from lhg_jax.data import records
from lhg_jax.data.schema import ClipInfo, encode
from lhg_jax.motion import LANDMARK
from lhg_jax.simulator.dyads import synthesise
from lhg_jax.training.evaluation import synthetic_dyads
from lhg_jax.training.setup import TrainingSetup


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two synthetic clips with the simulator's motion; what is heard is noise, which is quicker to make."""
    path = tmp_path_factory.mktemp("dyads")
    rng = np.random.default_rng(0)
    encoded, uuids, frames = [], [], []
    for index in range(2):
        dyad = synthesise(5, index)
        example = random_example(rng, len(dyad.listener))
        example = example.replace(
            features=example.features.replace(speaker_motion=dyad.speaker.values),
            listener_motion=dyad.listener.values,
        )
        encoded.append(encode(example, ClipInfo(dyad.uuid)))
        uuids.append(dyad.uuid)
        frames.append(example.features.frames)
    records.write_shard(path / "x.array_record", encoded)
    metadata = records.Metadata(
        space="landmark",
        source="synthetic",
        seed=5,
        frames=frames,
        uuids=uuids,
        keys=["0", "1"],
        shards=["x.array_record"],
        mean=[0.0] * LANDMARK.size,
        std=[1.0] * LANDMARK.size,
    )
    records.write_metadata(path, {"valid": metadata})
    return path


def test_dyads_come_back_from_their_names(folder):
    source = records.open_source(folder)
    clips = synthetic_dyads(source, 10)
    assert [clip.dyad.uuid for clip in clips] == source.metadata.uuids
    assert len(synthetic_dyads(source, 1)) == 1


def test_clips_of_another_simulator_are_not_scored(folder, capsys):
    class Changed(records.RecordSource):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return example.replace(listener_motion=example.listener_motion + 1e-6)

    assert synthetic_dyads(Changed(folder, records.open_source(folder).metadata), 2) == []
    assert "made by another simulator" in capsys.readouterr().err.replace("\n", " ")


def test_an_evaluation_holds_probes_of_whole_clips(folder):
    config = make_config(folder)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, probe_clips=2, eval_frames=30))
    source = records.open_source(folder)
    setup = TrainingSetup(config, source, source)
    state = setup.init_state()
    scores = setup.evaluation(state)
    assert {"probe_blink_recall", "probe_mirror_correlation", "probe_exp_l1", "exp_frechet"} <= set(scores)
    predicted, target = setup.evaluation.sample(state)
    assert predicted.shape == target.shape == source[0].listener_motion.shape
    np.testing.assert_array_equal(predicted[0], target[0])
