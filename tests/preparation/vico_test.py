import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from data_vico_tree import (
    FRAMES,
    ChallengeTree,
    FullTree,
    damage,
    write_coefficients,
    write_sound,
    write_video,
)
from prepare_helpers import Letters, run

from lhg_jax import media
from lhg_jax.data.records import open_source, read_metadata
from lhg_jax.features import mel_steps
from lhg_jax.motion import DEEP3D_CROP, LANDMARK, Motion, save_motion
from lhg_jax.preparation import extraction, report
from lhg_jax.preparation.vico import read_vico
from lhg_jax.util.errors import MissingExtraError, UserError


@pytest.fixture
def prepared(tmp_path, monkeypatch, capsys):
    """Prepares a tree into tmp_path/out in this process; returns the report and what was printed."""
    monkeypatch.setattr(extraction, "shared_encoder", Letters)
    monkeypatch.setattr(report, "save_pictures", lambda data: None)  # a second each

    def prepare(tree, *arguments):
        options = [*tree.options(), "--workers", "1", "--out", tmp_path / "out"]
        run(monkeypatch, *options, *arguments)
        return json.loads((tmp_path / "out" / "report" / "report.json").read_text()), capsys.readouterr().err

    return prepare


def test_exactly_the_damaged_clips_are_left_out(tmp_path, prepared):
    tree = ChallengeTree(tmp_path)
    for number in range(2):
        tree.add(f"good{number}")
    tree.add("held", split="valid", listener_id="8")
    expected = damage(tree)
    tree.write_tables()
    report, printed = prepared(tree)
    reasons = {row["clip"]: row["reason"] for row in report["left_out"]}
    assert set(reasons) == set(expected)
    for uuid, reason in expected.items():
        assert reason in reasons[uuid]
        assert uuid in printed
    assert {name: split["clips"] for name, split in report["splits"].items()} == {"train": 2, "valid": 1}
    assert open_source(tmp_path / "out" / "train").metadata.uuids == ["good0", "good1"]
    assert report["splits"]["train"]["identities"] == 2
    assert report["people_in_several_splits"] == {"3": ["train", "valid"]}
    assert report["notes"] == {}


def test_a_clip_holds_what_its_files_hold(tmp_path, prepared):
    tree = FullTree(tmp_path)
    row = tree.add(0, "train", "positive")
    tree.add(1, "out_of_domain", "negative")
    tree.write_tables()
    listener = write_coefficients(tree.coefficients / f"{row[2]}.mat", seed=50)
    report, _ = prepared(tree)
    assert report["splits"]["ood"]["attitudes"] == {"negative": 1}
    assert report["splits"]["train"]["coefficients"]["crop"]["speaker"]["unit"] == "scale, x, y in pixels"
    source = open_source(tmp_path / "out" / "train")
    assert source.space == DEEP3D_CROP
    info = source.info(0)
    assert (info.video_id, info.speaker_id, info.listener_id) == ("some_video", "20", "10")
    assert (info.attitude, info.motion_source) == ("positive", "precomputed")
    assert info.uuid == hashlib.sha256("\n".join((row[2], row[3], row[1])).encode()).hexdigest()[:12]
    example = source[0]
    assert example.features.log_mel.shape == (mel_steps(FRAMES), 128)
    np.testing.assert_array_equal(example.listener_motion[:, DEEP3D_CROP.slice("exp")], listener[:, 80:144])
    np.testing.assert_array_equal(
        example.listener_motion[:, DEEP3D_CROP.slice("angle")], listener[:, 224:227]
    )


def test_statistics_are_those_of_the_training_split(tmp_path, prepared):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    tree.add("b", split="test")
    tree.write_tables()
    prepared(tree)
    metadata = read_metadata(tmp_path / "out")
    example = open_source(tmp_path / "out" / "train")[0]
    rows = np.concatenate([example.listener_motion, example.features.speaker_motion])
    for split in metadata.values():
        np.testing.assert_allclose(split.mean, rows.mean(0), atol=1e-4)
        np.testing.assert_allclose(split.std, rows.std(0), rtol=1e-4)


def test_finished_clips_are_not_made_again(tmp_path, prepared, monkeypatch):
    tree = ChallengeTree(tmp_path)
    for uuid in "abc":
        tree.add(uuid)
    tree.write_tables()
    made = []
    extract = extraction.extract

    def interrupted(clip, recipe):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(clip.uuid)
        return extract(clip, recipe)

    monkeypatch.setattr(extraction, "extract", interrupted)
    with pytest.raises(SystemExit) as exit_info:
        prepared(tree)
    assert exit_info.value.code == 130
    assert not (tmp_path / "out" / "metadata.json").exists()
    monkeypatch.setattr(extraction, "extract", lambda *args: made.append(args[0].uuid) or extract(*args))
    prepared(tree)
    assert made == ["a", "b", "c"]
    shards = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*array_record*")}
    assert "is prepared already" in prepared(tree)[1]
    assert {path: path.stat().st_mtime_ns for path in shards} == shards

    tree.add("d")
    write_sound(tree.sound("b"), FRAMES - 1)
    tree.write_tables()
    prepared(tree)
    assert made == ["a", "b", "c", "b", "d"]
    next((tmp_path / "out").glob("*array_record*")).unlink()
    prepared(tree)
    assert made == ["a", "b", "c", "b", "d", "a", "b", "c", "d"]
    assert open_source(tmp_path / "out").metadata.uuids == ["a", "b", "c", "d"]
    assert not (tmp_path / "out" / ".clips").exists()


def test_small_differences_are_mended_and_noted(tmp_path, prepared):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    write_video(tree.video("a.listener"), FRAMES - 2)
    write_coefficients(tree.coefficients / "a.listener.mat", FRAMES - 2)
    write_sound(tree.sound("a"), FRAMES - 10)
    tree.write_tables()
    report, _ = prepared(tree)
    assert report["notes"]["a"] == [
        "speaker 33 frames, listener 31: the longer one is cut",
        "sound of 23 frames for 31 frames of video: filled up with silence",
    ]
    assert open_source(tmp_path / "out").metadata.frames == [31]


def test_videos_may_be_absent_where_coefficients_are_not(tmp_path, prepared):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    tree.video("a.speaker").unlink()
    tree.video("a.listener").rename(tree.root / "moved.mp4")
    tree.write_tables()
    assert prepared(tree)[0]["splits"]["train"]["clips"] == 1


def test_the_baselines_audio(tmp_path, prepared):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    tree.write_tables()
    prepared(tree, "--audio", "vico_compat")
    mfcc = open_source(tmp_path / "out")[0].features.mfcc
    assert mfcc.shape == (FRAMES, 45)
    assert mfcc[:, :13].any() and mfcc[:, 39:].any() and not mfcc[:, 13:39].any()


def test_other_names_of_splits(tmp_path, prepared):
    tree = ChallengeTree(tmp_path)
    tree.add("a", split="Unseen People")
    tree.write_tables()
    assert list(prepared(tree, "--splits", "unseen people", "ood")[0]["splits"]) == ["ood"]


def test_tables_in_subfolders_and_rows_of_other_shapes(tmp_path):
    tree = ChallengeTree(tmp_path / "listening_head")
    tree.add("a")
    tree.add("b")
    (tree.root / "videos" / "test").mkdir()
    tree.video("a.speaker").rename(tree.root / "videos" / "test" / "a.speaker.mp4")
    tree.tables["train"].append(["v", "c"])
    tree.write_tables()
    tree.root.rename(tmp_path / "data")
    (tmp_path / "vico").mkdir()
    (tmp_path / "data").rename(tmp_path / "vico" / "listening_head")
    listing = read_vico(tmp_path / "vico", None, None, {})
    assert [clip.uuid for clip in listing.clips] == ["a", "b"]
    assert listing.clips[0].speaker.parent.name == "test"
    assert [some.reason for some in listing.left_out] == ["train.csv line 4: 2 cells, but 4 columns"]


def test_one_space_for_all(tmp_path, prepared, capsys):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    tree.add("b")
    for who in ("speaker", "listener"):
        (tree.coefficients / f"b.{who}.mat").unlink()
        save_motion(tree.coefficients / f"b.{who}.npz", Motion(LANDMARK, np.zeros((FRAMES, 70), np.float32)))
    tree.write_tables()
    with pytest.raises(SystemExit):
        prepared(tree)
    error = capsys.readouterr().err
    assert "clip a: space deep3d_crop; clip b: space landmark (prepare them into" in error


def test_missing_packages_are_not_the_clips_fault(tmp_path, prepared, monkeypatch, capsys):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    tree.write_tables()

    def fails(*_):
        raise pickle.loads(pickle.dumps(MissingExtraError("tracking", "pipeline")))

    monkeypatch.setattr(extraction, "extract", fails)
    with pytest.raises(SystemExit):
        prepared(tree)
    assert "error: tracking needs more packages: pip install '.[pipeline]'" in capsys.readouterr().err


def test_folders_without_vico(tmp_path, prepared, capsys):
    tree = ChallengeTree(tmp_path)
    for message in ("no .csv here has the columns of ViCo", "no clip can be used"):
        with pytest.raises(SystemExit) as exit_info:
            prepared(tree)
        assert exit_info.value.code == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
        tree.tables["train"] = [["v", "missing", "1", "2"]]
        tree.write_tables()
    with pytest.raises(UserError, match="no such folder"):
        read_vico(tmp_path / "nowhere", None, None, {})


CHECK_IMPORTS = """
import sys
from lhg_jax.util.errors import run_cli
from lhg_jax import prepare
sys.argv = ["prepare", *sys.argv[1:]]
run_cli(prepare.main)
import tensorflow_datasets as tfds
out = sys.argv[sys.argv.index("--out") + 1]
builder = tfds.builder_from_directory(out)
source = builder.as_data_source("train")
clip, name = source[0], "listener_motion"
print(builder.name, builder.info.features[name].shape, len(source), clip["uuid"], clip[name].shape)
print(builder.info.metadata["train"]["uuids"], builder.info.splits["ood"].num_examples)
import lhg_jax.training.loop
from lhg_jax.data.pipeline import TrainStream
print(sorted({"tensorflow", "apache_beam", "torch"} & set(sys.modules)))
"""


def test_tfds_reads_the_same_files_and_nothing_imports_tensorflow_or_beam(tmp_path):
    tree = ChallengeTree(tmp_path)
    tree.add("a")
    tree.add("b")
    tree.add("c", split="ood")
    tree.write_tables()
    options = [*tree.options(), "--workers", "1", "--out", tmp_path / "out"]
    command = [sys.executable, "-c", CHECK_IMPORTS, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "vico (None, None) 2 b'a' (33, 73)",
        "['a', 'b'] 1",
        "[]",
    ]
    for name in ("lengths", "coefficients"):
        assert media.read_image(tmp_path / "out" / "report" / f"{name}.png").std() > 10
