"""A log without a terminal gets plain lines while the work goes on."""

import re
import subprocess
import sys

import numpy as np
import pytest

from lhg_jax.util import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(clock, capsys):
    with progress.counting("clips", 120) as advance:
        for _ in range(120):
            clock[0] += 1.0
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "clips 10/120, 60/min, 2 min left"
    assert len(lines) == 12 and lines[-1] == "clips 120/120 in 2 min"


def test_work_without_a_known_end(clock, capsys):
    with progress.counting("recognition"):
        clock[0] += 7
    assert capsys.readouterr().err == "recognition in 7 s\n"


def test_a_failure_says_nothing_of_the_end(capsys):
    with pytest.raises(KeyError), progress.counting("clips", 2):
        raise KeyError
    assert capsys.readouterr().err == ""


def test_long_lines_are_not_wrapped(capsys):
    progress.say("x [bold] " * 40)
    progress.warn("y " * 100)
    first, second = capsys.readouterr().err.splitlines()
    assert len(first) == 360 and re.match("warning: y y", second)


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch):
    terminal = progress.Console(force_terminal=True, record=True, width=100)
    monkeypatch.setattr(progress, "console", terminal)
    with progress.counting("clips", 2) as advance:
        advance()
    assert re.search(r"clips .*1/2 .*eta", terminal.export_text())


@pytest.mark.parametrize("seconds, text", [(5.0, "5 s"), (150.0, "2 min"), (9000.0, "2.5 h")])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text


def test_peak_memory_is_that_of_this_process_alone():
    """A process that a large one starts is no larger for it."""
    ballast = np.ones(50_000_000)  # 400 MB
    code = "from lhg_jax.util.progress import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 5 < float(child.stdout) < ballast.nbytes / 1e6 < progress.peak_memory_mb()
