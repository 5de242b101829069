"""The conversion tool on a checkpoint with the official file's structure, objects included."""

import argparse
import dataclasses
import json
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from recordings import golden

from lhg_jax.config import StartConfig, load_config
from lhg_jax.contract import FeatureSpec
from lhg_jax.listener_checkpoint import template
from lhg_jax.training.setup import build_model
from lhg_jax.training.warm_start import start_variables
from lhg_jax.weights import load_weights

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "lhg_ha2g.py"


def convert(weights: Path, output: Path) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "lhg_exporters.convert_weights",
        "--weights",
        weights,
        "--output",
        output,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def save_official(path: Path, audio: dict, text: dict) -> None:
    """A checkpoint as HA2G saves it: tensors beside a namespace and pickled word lists."""
    module = types.ModuleType("model.vocab")
    module.Vocab = type("Vocab", (), {"__module__": "model.vocab"})
    words = module.Vocab()
    words.index2word = {0: "<PAD>", 1: "<SOS>", 2: "<EOS>", 3: "<UNK>", 4: "hello"}
    words.word_embedding_weights = np.zeros((5, 3), np.float32)
    tensors = {"audio_dict": audio, "text_dict": text}
    tensors = {key: {k: torch.from_numpy(x.copy()) for k, x in d.items()} for key, d in tensors.items()}
    objects = {"args": argparse.Namespace(n_poses=34), "lang_model": words, "epoch": 3, "gen_dict_1": {}}
    package = types.ModuleType("model")
    package.vocab = module
    sys.modules.update({"model": package, "model.vocab": module})
    try:
        torch.save({**tensors, **objects}, path)
    finally:
        del sys.modules["model"], sys.modules["model.vocab"]


def assert_run_starts_from(path: Path, audio: dict) -> None:
    """configs/lhg_ha2g.py takes the whole encoder out of the converted file."""
    config = load_config(CONFIG)
    config = dataclasses.replace(config, start=StartConfig(audio_encoder=str(path)))
    like = template(build_model(config.model), FeatureSpec())
    found = start_variables(config, FeatureSpec(), like)
    for name in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, found[name], {"audio_encoder": audio[name]})


def test_official_checkpoint_goes_there_and_back(shared, tmp_path):
    _, audio = golden(shared, "ha2g_audio", "t70")
    _, text = golden(shared, "ha2g_text", "t34")
    save_official(tmp_path / "ha2g.bin", audio, text)
    result = convert(tmp_path / "ha2g.bin", tmp_path / "ha2g.safetensors")
    assert result.returncode == 0, result.stderr
    variables, metadata = load_weights(tmp_path / "ha2g.safetensors")
    assert json.loads(metadata["words"])[4] == "hello"
    kernel = variables["audio"]["params"]["layer2_0"]["conv1"]["kernel"]
    np.testing.assert_array_equal(kernel.T, audio["feat_extractor.layer2.0.conv1.weight"])
    assert_run_starts_from(tmp_path / "ha2g.safetensors", variables["audio"])
    result = convert(tmp_path / "ha2g.safetensors", tmp_path / "back.bin")
    assert result.returncode == 0, result.stderr
    back = torch.load(tmp_path / "back.bin", weights_only=True)
    for key, state in (("audio_dict", audio), ("text_dict", text)):
        assert back[key].keys() == state.keys()
        assert all(np.array_equal(back[key][name].numpy(), state[name]) for name in state)


class Malicious:
    """Would run a command if a checkpoint were unpickled with full trust."""

    def __reduce__(self):
        return (print, ("ran code of the checkpoint",))


@pytest.mark.parametrize("content", ["text", "pickle", "other"])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path, output = tmp_path / "weights.bin", tmp_path / "out.safetensors"
    if content == "text":
        path.write_text("hello")
    else:
        torch.save({"x": Malicious()} if content == "pickle" else {"x": torch.zeros(1)}, path)
    result = convert(path, output)
    assert result.returncode == 2 and not output.exists()
    assert (
        result.stderr.startswith(f"error: {path}: not an HA2G checkpoint") and result.stderr.count("\n") == 1
    )
    assert "ran code" not in result.stdout + result.stderr
