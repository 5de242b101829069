"""Imports every Python file of the repository, so that none can rot unseen."""

import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    sys.path.insert(0, str(ROOT))
    sys.path += [str(ROOT / "tools"), str(ROOT / "tools" / "bench")]  # scripts import their neighbours
    files = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()
    # Tests are imported by pytest; setup.py runs when it is imported.
    files = [f for f in files if not f.startswith("tests/") and f != "setup.py"]
    for name in files:
        if name.startswith(("lhg_jax/", "lhg_exporters/")):
            importlib.import_module(name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))
            continue
        spec = importlib.util.spec_from_file_location(name.replace("/", "_").removesuffix(".py"), ROOT / name)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    print(f"imported {len(files)} files")


if __name__ == "__main__":
    main()
