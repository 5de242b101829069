"""ViCo's official listener with its statistics, as files of their layout, against the recording."""

import sys

import numpy as np
import pytest
from models_helpers import random_clip
from recordings import assert_close, golden

torch = pytest.importorskip("torch")
from lhg_exporters import vico_listener  # noqa: E402
from lhg_jax.listener_checkpoint import load_listener  # noqa: E402
from lhg_jax.models.vico_lstm import our_order  # noqa: E402
from lhg_jax.util.errors import UserError, run_cli  # noqa: E402


def statistics(path, columns, seed, **more):
    rng = np.random.default_rng(seed)
    values = {"mean": rng.normal(size=columns), "std": rng.uniform(0.5, 2, columns)}
    torch.save({"feats": values, **more}, path)
    return values


def convert(monkeypatch, folder, **files):
    names = {"weights": "w.bin", "audio-statistics": "a.bin", "video-statistics": "v.bin", **files}
    arguments = [word for name, file in names.items() for word in (f"--{name}", str(folder / file))]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--output", str(folder / "vico.safetensors")])
    run_cli(vico_listener.main)


@pytest.fixture
def official(shared, tmp_path):
    """(recording, statistics of sound, of motion), the files of the official layout beside them."""
    arrays, state = golden(shared, "vico_lstm", "b3")
    torch.save(
        {f"module.{name}": torch.from_numpy(x.copy()) for name, x in state.items()}, tmp_path / "w.bin"
    )
    audio = statistics(tmp_path / "a.bin", 45, 1)
    video = statistics(tmp_path / "v.bin", 73, 2, other={"mean": np.zeros(187), "std": np.ones(187)})
    return arrays, audio, video


def test_predicts_what_the_original_predicts(official, tmp_path, monkeypatch, capsys):
    arrays, audio, video = official
    convert(monkeypatch, tmp_path)
    assert "wrote" in capsys.readouterr().out
    model, order = load_listener(tmp_path / "vico.safetensors"), our_order(73)
    clip = int(np.argmax(arrays["in_lengths"]))
    frames = int(arrays["in_lengths"][clip])
    raw = {
        "mfcc": arrays["in_audio"][clip, :frames] * audio["std"] + audio["mean"],
        "speaker_motion": (arrays["in_driven"][clip, :frames] * video["std"] + video["mean"])[:, order],
    }
    features = random_clip(frames).replace(**{name: x.astype(np.float32) for name, x in raw.items()})
    features = features.replace(speaker_seen=np.ones(frames, bool))
    first = (arrays["in_init"][clip] * video["std"] + video["mean"])[order].astype(np.float32)
    found = model.predict(features, first)[1:]
    wanted = (arrays["out_pred"][clip, : frames - 1] * video["std"] + video["mean"])[:, order]
    assert model.space.name == "deep3d_crop"
    assert_close(found, wanted, 1e-5)


def test_other_files_are_one_line(official, tmp_path, monkeypatch, capsys):
    def fails(**files) -> str:
        with pytest.raises(SystemExit):
            convert(monkeypatch, tmp_path, **files)
        [line] = capsys.readouterr().err.splitlines()
        return line

    assert "not statistics of 45 columns" in fails(**{"audio-statistics": "v.bin"})
    assert "not statistics of 73 columns" in fails(**{"video-statistics": "w.bin"})
    assert "not a checkpoint of ViCo's listener" in fails(weights="a.bin")
    assert "no such file" in fails(weights="none.bin")
    (tmp_path / "damaged.bin").write_bytes((tmp_path / "w.bin").read_bytes()[:2000])
    assert "not a PyTorch file of arrays" in fails(weights="damaged.bin")
    assert not (tmp_path / "vico.safetensors").exists()
    with pytest.raises(UserError, match="deviation is 0"):
        state = vico_listener.read_state(tmp_path / "w.bin")
        one = vico_listener.Statistics(np.zeros(45, np.float32), np.ones(45, np.float32))
        none = vico_listener.Statistics(np.zeros(73, np.float32), np.zeros(73, np.float32))
        vico_listener.listener(state, one, none, "w.bin")
