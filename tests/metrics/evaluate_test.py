import json
import sys

import numpy as np
import pytest
from metrics_clips import face, noise, write

from lhg_jax import evaluate as evaluate_module
from lhg_jax.evaluate import Options, evaluate
from lhg_jax.metrics import image
from lhg_jax.metrics.pairs import find_pairs
from lhg_jax.util.errors import UserError, run_cli


def run(folder, **changes):
    """Evaluates folder/pred against folder/ref; returns (problems, metrics.json)."""
    options = {"players": False, "track": False, "workers": 1} | changes
    problems = evaluate(Options(folder / "pred", folder / "ref", folder / "out", **options))
    return problems, json.loads((folder / "out/metrics.json").read_text())


def clip(folder, name, truth, prediction, pixels="bgr0"):
    write(folder / f"ref/{name}.listener.mkv", truth, pixels)
    if prediction is not None:
        write(folder / f"pred/{name}.listener.mkv", prediction, pixels)


@pytest.fixture
def folder(tmp_path):
    """Two good clips of 5 and 2 frames."""
    for name, frames, seed in (("a", 5, 0), ("b", 2, 1)):
        truth = noise(frames, 64, 72, seed)
        clip(tmp_path, name, truth, np.clip(truth * (0.9 - 0.2 * seed), 0, 255).astype(np.uint8))
    return tmp_path


def test_the_report_does_not_overwrite_the_videos_it_is_about(folder):
    (folder / "out").mkdir()
    (folder / "pred").rename(folder / "out" / "clips")
    (folder / "pred").symlink_to(folder / "out" / "clips")
    before = {path.name: path.read_bytes() for path in (folder / "pred").iterdir()}
    with pytest.raises(UserError, match="its folder clips/ is one of the inputs"):
        run(folder)
    assert {path.name: path.read_bytes() for path in (folder / "pred").iterdir()} == before


def test_numbers_are_pooled_over_frames_not_clips(folder):
    problems, result = run(folder)
    assert problems == [] and result["frames"] == 7 and result["clips"] == 2
    per_frame = []
    for name, frames, seed in (("a", 5, 0), ("b", 2, 1)):
        truth = noise(frames, 64, 72, seed)
        prediction = np.clip(truth * (0.9 - 0.2 * seed), 0, 255).astype(np.uint8)
        per_frame.append(image.psnr(prediction, truth))
        np.testing.assert_allclose(result["per_clip"][name]["metrics"]["psnr"], per_frame[-1].mean())
    np.testing.assert_allclose(result["metrics"]["psnr"], np.concatenate(per_frame).mean())
    assert result["metrics"]["exp_l1"] is None and result["notes"]["exp_l1"]
    assert result["metrics"]["fid"] is None and "--inception" in result["notes"]["fid"]


def test_equals_recordings_of_the_official_metrics(shared, tmp_path):
    data = np.load(shared / "golden/image_metrics.katiehill256.npz")
    clip(tmp_path, "k", data["in_gt_uint8"], data["in_pd_uint8"])
    _, result = run(tmp_path)
    for name, key in (("psnr", "out_psnr"), ("ssim", "out_ssim"), ("cpbd", "out_cpbd_pd")):
        np.testing.assert_allclose(result["metrics"][name], data[key].mean(), atol=2e-6)


@pytest.mark.parametrize("extra", [2, -2])
def test_slightly_unequal_lengths_are_cut_with_a_warning(folder, extra):
    truth = noise(8, 64, 64, 2)
    longer = noise(8 + 2, 64, 64, 2)
    clip(folder, "c", *((truth, longer) if extra > 0 else (longer, truth)))
    problems, result = run(folder)
    assert problems == []
    assert result["frames"] == 7 + 8
    assert "cut to 8" in result["per_clip"]["c"]["warnings"][0]


def test_very_unequal_lengths_leave_the_clip_out(folder):
    clip(folder, "c", noise(12, 64, 64, 2), noise(4, 64, 64, 2))
    problems, result = run(folder)
    assert len(problems) == 1 and "c: left out" in problems[0] and "8 frames" in problems[0]
    assert result["clips"] == 2 and result["problems"] == problems


def test_missing_predictions_and_broken_files_leave_clips_out(folder):
    clip(folder, "c", noise(2, 64, 64, 2), None)
    clip(folder, "d", noise(2, 64, 64, 3), None)
    (folder / "pred/d.listener.mkv").write_bytes(b"no video")
    problems, result = run(folder)
    assert result["clips"] == 2 and len(problems) == 2
    assert "no prediction" in problems[0] and "not a media file" in problems[1]


def test_an_unforeseen_failure_of_one_clip_does_not_stop_the_others(folder, monkeypatch):
    real = evaluate_module.measure
    monkeypatch.setattr(evaluate_module, "measure", lambda p, s: 1 // 0 if p.name == "a" else real(p, s))
    problems, result = run(folder)
    assert list(result["per_clip"]) == ["b"]
    assert "a: left out: unexpected ZeroDivisionError" in problems[0]


def test_another_size_is_resized_with_a_warning(folder):
    truth = noise(3, 96, 128, 4)
    clip(folder, "c", truth, truth[:, ::2, ::2])
    problems, result = run(folder)
    assert problems == []
    assert result["per_clip"]["c"]["warnings"] == ["prediction resized from 64x48 to the reference's 128x96"]
    assert result["per_clip"]["c"]["metrics"]["ssim"] > 0.5


def test_greyscale_at_odd_sizes(folder):
    truth = noise(3, 75, 93, 5)
    clip(folder, "c", truth, truth // 2, pixels="gray")
    problems, result = run(folder)
    assert problems == []
    assert 0 < result["per_clip"]["c"]["metrics"]["ssim"] < 1


def test_frames_too_small_for_ssim_are_left_out(folder):
    clip(folder, "c", noise(2, 8, 40, 6), noise(2, 8, 40, 7))
    problems, _ = run(folder)
    assert "11 x 11" in problems[0]


def test_no_clip_at_all(tmp_path):
    clip(tmp_path, "c", noise(2, 64, 64, 0), None)
    with pytest.raises(UserError, match="no such folder"):
        run(tmp_path)
    (tmp_path / "pred").mkdir()
    with pytest.raises(UserError, match="no clip can be compared"):
        run(tmp_path)
    (tmp_path / "ref/c.listener.mkv").unlink()
    with pytest.raises(UserError, match="no clips to evaluate"):
        run(tmp_path)


def test_annotations_choose_the_clips(folder):
    table = folder / "data.csv"
    table.write_text("uuid,audio\nb,x\nmissing,y\n")
    problems, result = run(folder, annotations=table)
    assert list(result["per_clip"]) == ["b"] and "missing: left out: no reference" in problems[0]
    table.write_text("uuid\nb\nb\n")
    with pytest.raises(UserError, match="'b' comes more than once"):
        run(folder, annotations=table)
    table.write_text("name\nb\n")
    with pytest.raises(UserError, match="column 'uuid'"):
        run(folder, annotations=table)


def test_names_are_found_as_people_read_them(tmp_path):
    for name in ("ref/upper.MP4", "pred/upper.Mov", "ref/cafe\u0301.mp4", "pred/caf\u00e9.listener.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_pairs(tmp_path / "pred", tmp_path / "ref")
    assert [pair.name for pair in found] == ["caf\u00e9", "upper"]
    assert all(pair.prediction and pair.reference for pair in found)
    (tmp_path / "pred/upper.mkv").touch()
    with pytest.raises(UserError, match="are two videos of one name"):
        find_pairs(tmp_path / "pred", tmp_path / "ref")


def test_finished_clips_are_not_measured_again(folder, monkeypatch):
    _, first = run(folder)
    monkeypatch.setattr(evaluate_module, "measure", lambda *_: pytest.fail("measured again"))
    assert run(folder)[1] == first
    measured = []
    monkeypatch.undo()
    real = evaluate_module.measure
    monkeypatch.setattr(evaluate_module, "measure", lambda p, s: measured.append(p.name) or real(p, s))
    write(folder / "pred/b.listener.mkv", noise(2, 64, 72, 9))
    (folder / "out/clips/a.npz").write_bytes(b"half a fi")
    assert run(folder)[1] != first
    assert measured == ["a", "b"]  # the damaged result and the changed prediction


def test_rows_of_other_systems_and_the_score(folder):
    rows = folder / "rows.csv"
    rows.write_text("team,SSIM,PSNR,CPBD,FID\nbetter,0.999,70,0.99,20\nworse,0.001,1,-,30\n")
    _, result = run(folder, compare=rows, name="mine & ours")
    assert result["score"]["over"] == ["ssim", "psnr"]
    assert result["score"]["rank_sums"] == {"better": 2, "mine & ours": 4, "worse": 6}
    with pytest.raises(UserError, match="'worse' is also a row"):
        run(folder, compare=rows, name="worse")
    table = (folder / "out/table.tex").read_text()
    assert r"mine \& ours" in table and "--" in table and "nan" not in table.lower()


@pytest.mark.parametrize(("broken", "code"), [(False, 0), (True, 1)])
def test_exit_codes(folder, monkeypatch, capsys, broken, code):
    if broken:
        clip(folder, "c", noise(2, 64, 64, 2), None)
    arguments = ["--predictions", folder / "pred", "--references", folder / "ref", "--output", folder / "out"]
    options = ["--no-players", "--no-track", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments), *options])
    with pytest.raises(SystemExit) as stop:
        run_cli(evaluate_module.main)
    assert stop.value.code == code
    assert "ssim" in capsys.readouterr().out


def test_nothing_to_evaluate_exits_with_2(tmp_path, monkeypatch, capsys):
    arguments = [
        "--predictions",
        tmp_path / "x",
        "--references",
        tmp_path / "y",
        "--output",
        tmp_path / "out",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run_cli(evaluate_module.main)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_motion_of_a_video_against_itself(tmp_path):
    clip(tmp_path, "same", face(45, 4), face(45, 4))
    problems, result = run(tmp_path, track=True, speakers=tmp_path / "ref")
    assert problems == []
    values = result["metrics"]
    assert values["exp_l1"] == values["pose_l1"] == 0
    assert values["exp_frechet"] < 1e-9 and values["pose_frechet"] < 1e-9
    np.testing.assert_allclose(values["csim_dlib"], 1)
    np.testing.assert_allclose(values["psnr"], 80)
    assert values["pose_sid"] == result["true_listeners"]["pose_sid"] > 1
    assert "landmark" in result["tracker"] and result["units"]["exp"] == "interocular distances"


def test_motion_tells_tilting_heads_apart_and_speakers_are_used(tmp_path):
    clip(tmp_path, "c", face(24, 6), face(24, 0))
    write(tmp_path / "speakers/c.speaker.mkv", face(24, 3))
    _, result = run(tmp_path, track=True, speakers=tmp_path / "speakers")
    values = result["metrics"]
    mean_tilt = np.deg2rad(6) * 2 / np.pi  # mean of |sine|; a sixth of the pose coefficients is roll
    assert values["pose_l1"] > 0.5 * mean_tilt / 6
    assert values["pose_variance"] < 0.2 * result["true_listeners"]["pose_variance"]
    assert values["pose_rpcc"] > 0.1 and values["pose_paired_frechet"] > values["pose_frechet"] * 0.9
    assert values["csim_dlib"] > 0.9


def test_no_face_leaves_out_motion_only(tmp_path, monkeypatch):
    clip(tmp_path, "c", face(1, 0), noise(1, 160, 160, 0))
    clip(tmp_path, "one", face(1, 0), face(1, 0))
    run(tmp_path, track=True)
    real, again = evaluate_module.measure, []
    monkeypatch.setattr(evaluate_module, "measure", lambda p, s: again.append(p.name) or real(p, s))
    problems, result = run(tmp_path, track=True)
    assert again == ["c"]  # what is whole is kept, what had a problem gets another chance
    assert len(problems) == 1 and "no face" in problems[0] and "motion" in problems[0]
    assert result["clips"] == 2 and result["clips_with_motion"] == 1
    assert result["metrics"]["exp_l1"] == 0
    assert result["metrics"]["exp_frechet"] is None  # one frame has no covariance
    assert result["metrics"]["exp_jitter"] is None


@pytest.mark.slow
def test_workers_give_the_same_numbers(folder):
    _, alone = run(folder)
    for file in (folder / "out/clips").iterdir():
        file.unlink()
    _, together = run(folder, workers=2)
    np.testing.assert_allclose(together["metrics"]["ssim"], alone["metrics"]["ssim"], atol=1e-6)
    assert together["per_clip"].keys() == alone["per_clip"].keys()
