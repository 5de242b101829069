import json

import numpy as np
import pytest
from data_seamless_tree import PEOPLE, SeamlessTree, annotation, damage, damage_media, write
from landmark_stand_in import Brightness
from prepare_helpers import Letters, run

from lhg_jax import faces
from lhg_jax.data.joined import open_sources
from lhg_jax.data.records import open_source
from lhg_jax.media import FileSlice
from lhg_jax.preparation import extraction
from lhg_jax.preparation.excerpts import ExcerptJob
from lhg_jax.preparation.extraction import Recipe
from lhg_jax.preparation.seamless import read_seamless
from lhg_jax.preparation.seamless_files import Share
from lhg_jax.util.errors import UserError

NAME = "V00_S0001_I00000129"


@pytest.fixture(autouse=True)
def without_models(monkeypatch):
    """No face is tracked and no word is read: that is tested elsewhere."""
    monkeypatch.setattr(extraction, "shared_encoder", Letters)
    monkeypatch.setattr(faces, "get_tracker", lambda *_: Brightness())


@pytest.fixture
def tree(tmp_path) -> SeamlessTree:
    return SeamlessTree(tmp_path)


def test_both_directions_of_a_dyad(tree):
    tree.add(NAME, split="dev")
    first, second = read_seamless(tree.root, Share()).excerpts
    assert first.uuid == f"{NAME}-P0010-P0020-0000500" and first.split == "valid"
    assert (first.speaker_id, first.listener_id) == ("V00_P0010", "V00_P0020")
    assert (second.speaker_id, second.listener_id) == ("V00_P0020", "V00_P0010")
    assert first.words is not None and first.words[0].text == "word0"
    assert first.words[0].start_s == pytest.approx(0.5)
    # the second one's word into the first one's turn; from second 12.5 on it is their turn
    np.testing.assert_allclose(first.others, [(5.5, 5.9)], atol=1e-6)
    assert first.span.end_s == pytest.approx(12.5) and second.span.start_s == pytest.approx(12.0)


def test_a_shard_gives_the_clips_of_the_unpacked_files(tree):
    tree.add(NAME)
    [_, unpacked] = read_seamless(tree.root, Share()).excerpts
    tree.add("V00_S0001_I00000130")
    expected, info = ExcerptJob.plan(unpacked, Recipe()).make()
    tree.pack()
    packed = read_seamless(tree.root, Share()).excerpts
    assert len(packed) == 4 and isinstance(packed[1].sound, FileSlice)
    example, packed_info = ExcerptJob.plan(packed[1], Recipe()).make()
    assert packed_info == info
    for name in ("log_mel", "speaker_motion", "word_index", "word_table"):
        found, wanted = (getattr(clip.features, name) for clip in (example, expected))
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(example.listener_motion, expected.listener_motion)
    assert example.features.speaker_motion[0, 0] > example.listener_motion[0, 0] + 0.3


def test_words_stand_in_for_missing_voice_activity(tree):
    folder = tree.add(NAME)
    for person, turns in zip(PEOPLE, (((1.0, 11.0),), ((14.0, 22.0),)), strict=True):
        row = annotation(turns) | {"metadata:vad": []}
        write(folder / f"{NAME}_{person}.json", json.dumps(row))
    assert [e.speaker_id for e in read_seamless(tree.root, Share()).excerpts] == ["V00_P0010", "V00_P0020"]


def test_shares_are_disjoint_and_whole(tree):
    names = [f"V00_S0001_I{number:08d}" for number in range(40)]
    for name in names:
        tree.add(name)
    shares = [read_seamless(tree.root, Share(index, 3)).excerpts for index in range(3)]
    parts = [{excerpt.video_id for excerpt in share} for share in shares]
    assert sorted(name for part in parts for name in part) == names
    assert all(len(part) > 5 for part in parts)


def test_damage_leaves_out_what_it_must_and_no_more(tree):
    said = damage(tree)
    tree.add(NAME)
    for number in range(3):
        tree.add(f"V02_S0001_I{number:08d}", archive=7)
    cut, broken = tree.pack(archive=7), tree.root / "improvised" / "train" / "0000" / "0008.tar"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    broken.write_bytes(b"no tar file" * 1000)
    listing = read_seamless(tree.root, Share())
    reasons = {some.uuid: some.reason for some in listing.left_out}
    for name, reason in said.items():
        assert reason in reasons.get(name, "nothing"), (name, reasons)
    assert "truncated" in reasons[str(cut)] or "not a whole tar" in reasons[str(cut)]
    assert "not a whole tar file" in reasons[str(broken)]
    assert len(said) + 2 >= 12
    names = {excerpt.video_id for excerpt in listing.excerpts}
    assert names == {NAME, "V02_S0001_I00000000"}


def test_folders_that_are_no_corpus(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="no such folder"):
        read_seamless(tmp_path / "nowhere", Share())
    with pytest.raises(UserError, match="holds neither improvised/ nor naturalistic/"):
        read_seamless(tmp_path, Share())
    for part in (("3", "3"), ("-1", "2")):
        with pytest.raises(SystemExit) as exit_info:
            options = ["--source", "seamless", "--root", tmp_path, "--part", *part]
            run(monkeypatch, *options, "--out", tmp_path / "out")
        assert exit_info.value.code == 2
        assert "wants a number from 0 to" in capsys.readouterr().err


@pytest.mark.slow
def test_prepared_shares(tree, tmp_path, monkeypatch):
    """The command in two shares, one of which meets recordings that cannot be used."""
    for number in range(4):
        tree.add(f"{NAME[:-1]}{number}", archive=number % 2)
    tree.pack()
    said = damage_media(tree)
    reasons = {}
    for index in range(2):
        out = tmp_path / f"out{index}"
        run(monkeypatch, *tree.options(), "--part", index, 2, "--out", out)
        report = json.loads((out / "report" / "report.json").read_text())
        reasons |= {some["clip"]: some["reason"] for some in report["left_out"]}
    for name, reason in said.items():
        assert reason in reasons.get(name, "nothing"), (name, reasons)
    together = open_sources(f"{tmp_path / 'out0'},{tmp_path / 'out1'}")
    assert len(together) == len(open_source(tmp_path / "out0")) + len(open_source(tmp_path / "out1"))
    assert len(together) + len(reasons) == 2 * 7
