"""No name is used that is nowhere defined.

Ruff's rule for that (F821) is off in pyproject.toml, because it takes a shape of one axis, as in
`Float[Array, "frames"]`, for the name of a type. Here its findings outside of quotes count.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("lhg_jax", "lhg_exporters", "tools", "configs", "tests", "setup.py")


def undefined_names(folder: Path, *paths: str) -> list[str]:
    """`FILE:ROW: NAME` of each."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821"]
    command += ["--output-format", "json", *paths]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    names = []
    for finding in json.loads(found):
        path, start, end = Path(finding["filename"]), finding["location"], finding["end_location"]
        line = path.read_text(encoding="utf-8").splitlines()[start["row"] - 1]
        before, name = line[: start["column"] - 1], line[start["column"] - 1 : end["column"] - 1]
        if before.count('"') % 2 == 0:
            names.append(f"{path.relative_to(folder.resolve())}:{start['row']}: {name}")
    return names


def test_every_name_is_defined():
    assert undefined_names(ROOT, *CODE) == []


def test_it_tells_names_from_shapes(tmp_path):
    (tmp_path / "a.py").write_text('def f(x: Float[Array, "frames"]):\n    return os.cpu_count(), "frames"\n')
    assert undefined_names(tmp_path, "a.py") == ["a.py:1: Float", "a.py:1: Array", "a.py:2: os"]
