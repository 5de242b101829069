import dataclasses
import json
import sys

import numpy as np
import pytest
from clip_folder import write_split
from metrics_clips import noise, write
from reactions_motion import moving
from training_toy import random_example

from lhg_jax import evaluate
from lhg_jax.data import records
from lhg_jax.data.gestures import Gesture, to_json
from lhg_jax.data.schema import ClipInfo, encode
from lhg_jax.metrics import clip
from lhg_jax.metrics.labels import Labels, add_label_metrics, read_labels
from lhg_jax.metrics.reactions import Event, detect
from lhg_jax.metrics.summary import Summary
from lhg_jax.util.errors import UserError, run_cli

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


def during(event, at_s: np.ndarray) -> np.ndarray:
    return (event.start_s <= at_s) & (at_s < event.end_s)


@pytest.mark.parametrize("seed", range(4))
def test_random_labels_are_counted_as_by_milliseconds(seed):
    """Events of one side do not overlap, so each has at most one partner: pairs can simply be counted."""
    rng, at_s = np.random.default_rng(seed), (np.arange(30_000) + 0.5) / 1000
    motions, labels, hits, events = [], {}, 0, 0
    for name in "abcdef":
        motions.append(moving(seed, 0, list(rng.uniform([1, 10], [8, 28]))))
        found = detect(motions[-1], "nod")
        shifted = [Event(*(np.array(event) + rng.uniform(-0.4, 0.4, 2)).round(3)) for event in found]
        kinds = rng.choice(["nod", "nod", "nod", "shake"], len(shifted))
        gestures = [Gesture(kind, *event) for kind, event in zip(kinds, shifted, strict=True)]
        listens = rng.random(30) < 0.8  # second by second
        labels[name] = Labels(gestures, np.repeat(listens, 30))
        nodded, seen = (
            [during(event, at_s) for event in some if listens[int((event.start_s + event.end_s) / 2)]]
            for some in ([gesture for gesture in gestures if gesture.kind == "nod"], found)
        )
        hits += sum((a & b).sum() >= 0.5 * (a | b).sum() for a in seen for b in nodded)
        events += len(nodded) + len(seen)
    summary, values = Summary(), [motion.values for motion in motions]
    add_label_metrics({"prediction": values, "reference": values}, "abcdef", labels, summary)
    assert 0 < 2 * hits < events
    assert summary.values["nod_label_r_f1"] == pytest.approx(2 * hits / events)


def make_folder(folder, gestures: dict[str, str], listening=None):
    frames = 12 if listening is None else len(listening)
    example = random_example(np.random.default_rng(0), frames)
    if listening is not None:
        example = example.replace(listener_seen=listening)
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


def test_the_command_by_hand(tmp_path, monkeypatch, capsys):
    """Labels at 2, 7 and 20 s; from 13 s on somebody else talks, so the last does not count.

    The true listener nods at 2 and 20 s: of two labels one is found, and nothing else. The prediction nods at
    2 and 10 s: one nod is right, one wrong, and one label is missed.
    """
    listening = LISTENING.copy()
    listening[30 * 13 :] = False
    strokes_s = 3 / 2.3
    labels = [Event(start, start + strokes_s) for start in (2.0, 7.0, 20.0)]
    make_folder(tmp_path / "prepared", {"a": to_json(nods(labels)), "b": ""}, listening)
    true, predicted = (moving(n, 0, starts) for n, starts in enumerate([[2.0, 20], [2.0, 10]]))
    for name in ("pred", "ref"):
        write(tmp_path / name / "a.listener.mkv", noise(2, 64, 64, 0))

    def compare(pair, found) -> None:  # in place of tracking two faces for half a minute
        found.arrays.update(prediction_motion=predicted.values, reference_motion=true.values)

    monkeypatch.setattr(clip, "_compare_motion", compare)
    folders = {"predictions": "pred", "references": "ref", "labels": "prepared", "output": "out"}
    words = [word for name, folder in folders.items() for word in (f"--{name}", str(tmp_path / folder))]
    monkeypatch.setattr(sys, "argv", ["evaluate", *words, "--no-players", "--workers", "1"])
    with pytest.raises(SystemExit) as stop:
        run_cli(evaluate.main)
    assert stop.value.code == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert result["metrics"]["nod_label_r_f1"] == 0.5
    assert result["true_listeners"]["nod_label_r_f1"] == pytest.approx(2 / 3)
    assert result["metrics"]["shake_label_r_f1"] is None
    assert "2 labels in 1 clips" in result["notes"]["nod_label_r_f1"]
    assert "R-F1 (labels)" in (tmp_path / "out" / "report.html").read_text()
