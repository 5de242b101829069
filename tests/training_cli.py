"""Starts `python -m lhg_jax.train` as a process of its own, for the tests of what only processes show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from lhg_jax import config as configuration

ROOT = Path(__file__).resolve().parent.parent
# Besides conftest.py's flags: these runs take fewer steps than it takes to compile them well.
QUICK_COMPILATION = "--xla_llvm_disable_expensive_passes=true"
IMPORTS = (
    "from lhg_jax.config import *\n"
    "from lhg_jax.models.listener import ListenerConfig\n"
    "from lhg_jax.models.vico_lstm import ViCoConfig\n"
)


def write_config(path: Path, config: configuration.TrainConfig) -> Path:
    """The file in configs/ that builds `config`."""
    path.write_text(f"{IMPORTS}config = {config!r}\n")
    return path


def start(config: Path, workdir: Path, *flags: str, devices: int = 1, cache: Path) -> subprocess.Popen:
    """A training process on fake CPU devices; compiled code is kept in `cache` for the next one."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {QUICK_COMPILATION} "
        f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "lhg_jax.train", "--config", config, "--workdir", workdir, *flags]
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, code: int = 0, timeout_s: float = 1800) -> str:
    """Waits for the end, and returns what was printed."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == code, output
    return output


def metrics(workdir: Path, kind: str = "train") -> list[dict]:
    """Lines of metrics.jsonl."""
    entries = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind]


def saved(workdir: Path, step: int) -> dict[str, np.ndarray]:
    """All arrays of a save, by name, whatever devices it was made on."""
    path = workdir.resolve() / "checkpoints" / str(step) / "state"
    with ocp.PyTreeCheckpointer() as checkpointer:
        shapes = checkpointer.metadata(path).item_metadata.tree
        arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        tree = checkpointer.restore(path, ocp.args.PyTreeRestore(restore_args=arguments))
    return {key: np.asarray(value) for key, value in ocp.tree.to_flat_dict(tree, sep="/").items()}
