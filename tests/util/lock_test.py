"""Two processes in one folder: the second is told who is there."""

import subprocess
import sys

import pytest

from lhg_jax.util.errors import UserError
from lhg_jax.util.lock import locked

HOLD = (
    "import sys, pathlib; from lhg_jax.util.lock import locked\n"
    "with locked(pathlib.Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
)


def test_second_process_is_kept_out_until_the_first_ends(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "in\n"
        with (
            pytest.raises(UserError, match=rf"run: in use by process {first.pid} on "),
            locked(tmp_path / "run"),
        ):
            pass
        first.kill()
    with locked(tmp_path / "run"):
        pass


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run: cannot be written"), locked(tmp_path / "file" / "run"):
        pass
