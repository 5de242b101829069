import dataclasses

import numpy as np
import pytest
from clip_folder import write_split
from reactions_motion import moving
from training_toy import random_example

from lhg_jax.data import records
from lhg_jax.data.gestures import Gesture, to_json
from lhg_jax.data.schema import ClipInfo, encode
from lhg_jax.metrics.labels import Labels, add_label_metrics, read_labels
from lhg_jax.metrics.reactions import Event, detect
from lhg_jax.metrics.summary import Summary
from lhg_jax.util.errors import UserError

MOTION = moving(0, 0, [2.0, 7.0, 14.0])
FOUND = detect(MOTION, "nod")  # what a labeller who sees what the detector sees would write down
LISTENING = np.ones(900, bool)


def nods(events) -> list[Gesture]:
    return [Gesture("nod", *event, "concord signal") for event in events]


def scores(gestures: list[Gesture], listening=LISTENING) -> Summary:
    """Of two clips, the prediction of the second of which holds still."""
    summary, still = Summary(), np.zeros_like(MOTION.values)
    motions = {"prediction": [MOTION.values, still], "reference": [MOTION.values] * 2}
    labels = {"a": Labels(gestures, listening), "b": Labels(gestures, listening)}
    add_label_metrics(motions, ["a", "b"], labels, summary)
    return summary


def test_nods_against_labels():
    count = len(FOUND)
    assert count >= 2
    summary = scores(nods(FOUND))
    assert summary.reference_values["nod_label_r_f1"] == 1.0
    assert summary.values["nod_label_r_f1"] == pytest.approx(2 * count / (count + 2 * count))
    assert summary.values["shake_label_r_f1"] is None
    assert f"{2 * count} labels in 2 clips" in summary.notes["nod_label_r_f1"]
    # a label more in each clip, where nothing is found
    summary = scores(nods([*FOUND, Event(22.0, 23.0)]))
    assert summary.reference_values["nod_label_r_f1"] == pytest.approx(2 * count / (2 * count + 1))
    # labels of another kind do not count
    shakes = [gesture._replace(kind="shake") for gesture in nods(FOUND)]
    assert scores(shakes).reference_values["nod_label_r_f1"] == 0.0


def test_clips_without_labels_do_not_count():
    summary = Summary()
    values = [np.zeros_like(MOTION.values), MOTION.values]
    motions = {"prediction": values, "reference": values}
    add_label_metrics(motions, ["other", "a"], {"a": Labels(nods(FOUND), LISTENING)}, summary)
    assert summary.values["nod_label_r_f1"] == 1.0


def test_who_speaks_does_not_nod_as_a_listener():
    """The first nod falls while the listener speaks: it counts neither as found nor as missed."""
    listening = LISTENING.copy()
    listening[int(30 * FOUND[0].start_s) : int(30 * FOUND[0].end_s) + 1] = False
    for labelled in (FOUND, FOUND[1:]):
        assert scores(nods(labelled), listening).reference_values["nod_label_r_f1"] == 1.0


def make_folder(folder, gestures: dict[str, str]):
    example = random_example(np.random.default_rng(0), 12)
    metadata = write_split(folder, [example] * len(gestures))
    infos = [ClipInfo(name, gestures=text) for name, text in gestures.items()]
    for number, shard in enumerate(metadata.shards):
        part = infos[2 * number : 2 * number + 2]
        records.write_shard(folder / shard, (encode(example, info) for info in part))
    records.write_metadata(folder, {"test": dataclasses.replace(metadata, uuids=[*gestures])})
    return example


def test_labels_of_a_prepared_folder(tmp_path):
    example = make_folder(tmp_path, {"a": to_json(nods([Event(1.0, 2.0)])), "b": "", "c": to_json([])})
    labels = read_labels(tmp_path)
    assert labels.keys() == {"a", "c"} and labels["c"].gestures == []
    [nod] = labels["a"].gestures
    assert (nod.kind, nod.start_s, nod.name) == ("nod", 1.0, "concord signal")
    np.testing.assert_array_equal(labels["a"].listening, example.listener_seen)


@pytest.mark.parametrize(
    ("text", "message"), [("", "no clip has labelled gestures"), ("[1]", "labels of a cannot be read")]
)
def test_folders_without_labels(tmp_path, text, message):
    make_folder(tmp_path, {"a": text})
    with pytest.raises(UserError, match=message):
        read_labels(tmp_path)
