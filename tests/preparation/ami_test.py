import dataclasses
import json

import numpy as np
import pytest
from data_ami_tree import LAUGH, NOD, SHAKE, AmiTree, damage, damage_recordings
from landmark_stand_in import Brightness
from prepare_helpers import Letters, run

from lhg_jax import faces, media
from lhg_jax.data.gestures import Gesture, from_json
from lhg_jax.data.records import open_source
from lhg_jax.preparation import extraction
from lhg_jax.preparation.ami import PARTITION, read_ami
from lhg_jax.preparation.ami_annotations import kind_of
from lhg_jax.preparation.excerpts import ExcerptJob
from lhg_jax.preparation.extraction import Recipe
from lhg_jax.preparation.turns import Span
from lhg_jax.speech.log_mel import log_mel
from lhg_jax.util.errors import UserError


@pytest.fixture(autouse=True)
def without_models(monkeypatch):
    """No face is tracked and no word is read: that is tested elsewhere."""
    monkeypatch.setattr(extraction, "shared_encoder", Letters)
    monkeypatch.setattr(faces, "get_tracker", lambda *_: Brightness())


@pytest.fixture
def tree(tmp_path) -> AmiTree:
    tree = AmiTree(tmp_path)
    tree.add("ES2002a")
    return tree


def test_passages_of_a_meeting(tree):
    listing = read_ami(tree.root, {})
    assert [e.uuid for e in listing.excerpts] == [
        "ES2002a-A-B-0000500",
        "ES2002a-A-C-0000500",
        "ES2002a-B-A-0013500",
        "ES2002a-B-C-0013500",
    ]
    excerpt = listing.excerpts[2]
    assert excerpt.split == "train" and excerpt.video_id == "ES2002a"
    assert (excerpt.speaker_id, excerpt.listener_id) == ("MEE002", "FEE001")
    assert excerpt.speaker.video.name == "ES2002a.Closeup1.avi"
    assert excerpt.listener.video.name == "ES2002a.Closeup2.avi"
    assert excerpt.sound.name == "ES2002a.Headset-0.wav"
    assert excerpt.span == Span(13.5, 27.4)
    assert excerpt.words is not None and excerpt.words[0].text == "café"
    assert excerpt.words[0].start_s == pytest.approx(0.5) and excerpt.words[-1].text == "word23."
    # the word of A and the laugh of C, not the cough; in seconds from the start of the passage
    np.testing.assert_allclose(excerpt.others, [(6.5, 6.9), (LAUGH[1] - 13.5, LAUGH[2] - 13.5)])
    nod, shake, other = excerpt.gestures or ()
    assert nod == Gesture("nod", NOD[0] - 13.5, NOD[1] - 13.5, "concord signal")
    assert shake.kind == "shake" and shake.start_s == SHAKE[0] - 13.5 and other.kind == "other"
    assert listing.excerpts[3].gestures is None  # nobody has labelled C
    assert [(some.uuid, some.reason) for some in listing.left_out] == [
        ("head gestures", "neither nods nor shakes: 'turn' (1)")
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Concord signal", "nod"),
        ("head_nod", "nod"),
        ("discord signal", "shake"),
        ("disagreement", "shake"),
        ("NEGATIVE", "shake"),
        ("deixis", "other"),
        ("", "other"),
    ],
)
def test_what_gestures_are(name, kind):
    assert kind_of(name) == kind


def test_a_clip(tree):
    """The right stretch of the right files, and who is not listening when."""
    excerpt = read_ami(tree.root, {}).excerpts[2]
    example, info = ExcerptJob.plan(excerpt, Recipe()).make()
    assert info.uuid == excerpt.uuid and info.listener_id == "FEE001"
    assert example.features.frames == 417
    assert [word["word"] for word in json.loads(info.transcript)][:2] == ["café", "word1"]
    # while A speaks or C laughs A does not listen; else A is seen, at 30 frames/s
    seen = np.ones(417, bool)
    seen[195:207], seen[285:315] = False, False
    np.testing.assert_array_equal(example.listener_seen, seen)
    assert example.features.speaker_seen.all()
    levels = [(f.time_s, f.image.mean() / 255) for f in media.read_frames(excerpt.listener.video)]
    shown = np.searchsorted([time_s for time_s, _ in levels], 13.5 + (np.arange(417) + 0.5) / 30) - 1
    np.testing.assert_allclose(example.listener_motion[:, 5], np.array(levels)[shown, 1], atol=1e-6)
    gestures = from_json(info.gestures)
    assert gestures is not None and [g.kind for g in gestures] == ["nod", "shake", "other"]
    whole = media.read_audio(excerpt.sound)
    mel = log_mel(whole[round(13.5 * 16000) :][: len(example.features.log_mel) * 16000], 417)
    np.testing.assert_allclose(example.features.log_mel[:700], mel[:700], atol=0.1)


def test_a_listener_who_hardly_listens_is_left_out(tree):
    excerpt = read_ami(tree.root, {}).excerpts[2]
    busy = dataclasses.replace(excerpt, others=(Span(0.0, 11.0),))
    with pytest.raises(UserError, match="seen to listen in 87 of 417 frames"):
        ExcerptJob.plan(busy, Recipe()).make()


def test_damage_leaves_out_what_it_must_and_no_more(tree):
    whole = {e.uuid for e in read_ami(tree.root, {}).excerpts}
    said = damage(tree)
    listing = read_ami(tree.root, {})
    reasons = {some.uuid: some.reason for some in listing.left_out}
    for name, reason in said.items():
        assert reason in reasons.get(name, "nothing"), (name, reason, reasons)
    made = {e.uuid for e in listing.excerpts}
    assert {uuid for uuid in made if uuid.startswith("ES2002a")} == whole
    # without a camera a person is in no clip, without a headset only as listener
    blind, dumb = (
        next(name.split(".")[0] for name, why in said.items() if what in why)
        for what in ("no camera", "no channel")
    )
    pairs = [tuple(uuid.split("-")[:3]) for uuid in made]
    assert {pair[1:] for pair in pairs if pair[0] == blind} == {("A", "B"), ("B", "A")}
    assert {pair[1:] for pair in pairs if pair[0] == dumb} == {("A", "B"), ("A", "C")}


@pytest.mark.slow
def test_prepared_clips(tree, tmp_path, monkeypatch):
    """The command, with recordings that cannot be used; 14 kinds of damage with those of the annotations."""
    damaged = {**damage(tree)}
    tree.add("ES2011a")
    damaged |= damage_recordings(tree, "ES2011a")
    assert len(damaged) >= 14
    run(monkeypatch, *tree.options(), "--out", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    reasons = {some["clip"]: some["reason"] for some in report["left_out"]}
    for name, reason in damaged.items():
        assert reason in reasons.get(name, "nothing"), (name, reason, reasons)
    source = open_source(tmp_path / "out" / "valid")
    assert source.metadata.uuids == ["ES2011a-A-B-0000500"]
    assert source.info(0).gestures == ""
    train = open_source(tmp_path / "out" / "train")
    of_b_to_a = train.metadata.uuids.index("ES2002a-B-A-0013500")
    assert '"nod"' in train.info(of_b_to_a).gestures and train.info(0).gestures == ""


def test_meetings_can_be_given_a_split(tree):
    tree.add("IB4005")
    tree.add("ES2004b")
    splits = {e.video_id: e.split for e in read_ami(tree.root, {"IB4005": "ood"}).excerpts}
    assert splits == {"ES2002a": "train", "IB4005": "ood", "ES2004b": "test"}


def test_the_partition_has_every_group_once():
    groups = [group for groups in PARTITION.values() for group in groups.split()]
    assert len(groups) == len(set(groups)) == 58


def test_folders_that_are_no_corpus(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="no such folder"):
        read_ami(tmp_path / "nowhere", {})
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, "--source", "ami", "--root", tmp_path, "--out", tmp_path / "out")
    assert exit_info.value.code == 2
    assert "no corpusResources/meetings.xml in it" in capsys.readouterr().err
