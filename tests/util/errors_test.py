"""What the user asked for and the machine does not have is one line."""

import errno
import os
import subprocess
import sys

import pytest

from lhg_jax.util.errors import run_cli, writing

RUN = "from lhg_jax.util.errors import run_cli; import jax.numpy as jnp; run_cli(lambda: jnp.zeros(3).sum())"


@pytest.mark.parametrize("platforms", ["tpu", "cuda", "cpuu"])
def test_a_device_that_is_not_there(platforms):
    environment = os.environ | {"JAX_PLATFORMS": platforms}
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, env=environment)
    if platforms in ("tpu", "cuda") and done.returncode == 0:
        pytest.skip(f"this machine has a {platforms} device")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert len(errors) == 1 and errors[0].startswith(f"error: JAX_PLATFORMS={platforms}: ")


def test_doctor_lists_it():
    environment = os.environ | {"JAX_PLATFORMS": "cpuu"}
    command = [sys.executable, "-m", "lhg_jax.doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "JAX_PLATFORMS=cpuu" in done.stdout


def full(kind):
    """What a library raises where the disk is full."""
    reason = os.strerror(errno.ENOSPC)
    if kind == "library":
        raise RuntimeError(f"RESOURCE_EXHAUSTED: x.data; {reason} [source=file.cc]")
    try:
        raise OSError(errno.ENOSPC, reason, "out/x.npz")
    except OSError as error:
        if kind == "chained":
            raise ValueError("the save failed") from error
        raise


def test_nothing_is_said_of_a_full_disk_after_the_line():
    code = (
        "import atexit, errno, os; from lhg_jax.util.errors import run_cli\n"
        "def fail(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'x.npz')\n"
        "atexit.register(fail); run_cli(fail)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "x.npz: cannot" in done.stderr


@pytest.mark.parametrize(
    ("kind", "where"), [("plain", "out/x.npz"), ("chained", "out/x.npz"), ("library", "the disk")]
)
def test_a_full_disk_is_one_line_whoever_notices_it(kind, where, capsys):
    with pytest.raises(SystemExit) as exit_info:
        run_cli(lambda: full(kind))
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == f"error: {where}: cannot be written ({os.strerror(errno.ENOSPC)})\n"


def test_what_was_being_written_is_named_where_the_library_does_not_say(capsys):
    def main():
        with writing("out/saved"):
            full("library")

    with pytest.raises(SystemExit):
        run_cli(main)
    assert capsys.readouterr().err.startswith("error: out/saved: cannot be written")


def test_other_exceptions_keep_their_traceback():
    code = "from lhg_jax.util.errors import run_cli; run_cli(lambda: 1 / 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
