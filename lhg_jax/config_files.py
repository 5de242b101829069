"""The files of settings that come with the package, found by name. Nothing here imports JAX."""

import ast
import os
from pathlib import Path

from lhg_jax.util.errors import UserError


def config_folder() -> Path:
    """Where the configs of the package are: installed with it, or in the repository beside it."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def packaged_configs() -> dict[str, str]:
    """Name of each config of the package -> the first line of its docstring."""
    paths = sorted(config_folder().glob("*.py"))
    docstrings = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    return {name: text.partition("\n")[0] for name, text in docstrings.items() if text}


def find_config(name: str | os.PathLike) -> Path:
    """A config's file: `name` itself, or the package's: `demo`, `configs/demo.py`, `grids/small`.

    Raises `UserError` where there is none.
    """
    path = Path(name)
    if path.is_file():
        return path
    inside = path.relative_to("configs") if path.is_relative_to("configs") else path
    packaged = config_folder() / inside.parent / f"{inside.stem}.py"
    if path.is_absolute() or not packaged.is_file():
        raise UserError(f"{name}: no such config file (the package has {', '.join(packaged_configs())})")
    return packaged
