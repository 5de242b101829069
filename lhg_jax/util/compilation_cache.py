"""Compiled programs kept between runs, in one place for all commands."""

import os
import tempfile
from pathlib import Path


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder; JAX's own environment variables go first.

    A cache is never needed: without a folder that can be written, everything is compiled anew.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or (folder := cache_folder()) is None:
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones make a slow start


def cache_folder() -> Path | None:
    """`lhg_jax/jax` under XDG_CACHE_HOME or ~/.cache; None where it cannot be written."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = home / "lhg_jax" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
