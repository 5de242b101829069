"""Every command as a new user meets it: a list of commands, help without riddles, a version."""

import dataclasses
import importlib
import subprocess
import sys

import pytest

import lhg_jax
from lhg_jax import __main__ as commands
from lhg_jax.util.cli import Group, Maybe, parse
from lhg_jax.util.errors import run_cli

OWN_PARSER = {"train"}  # reads a config first (tests/config_test.py)


def run(monkeypatch, capsys, main, *arguments) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    monkeypatch.setattr(sys, "argv", ["x", *arguments])
    code = 0
    try:
        run_cli(main)
    except SystemExit as ended:
        code = ended.code
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_the_commands_are_listed(monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, commands.main)
    assert code == 0
    for name in commands.COMMANDS:
        assert f"  {name} " in text
    assert run(monkeypatch, capsys, commands.main, "--help") == (0, text)


def test_every_command_that_is_listed_exists():
    for name in commands.COMMANDS:
        assert callable(commands.command_module(name).main)


def test_a_typo_is_answered(monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, commands.main, "evalute")
    assert code == 2 and "perhaps you meant 'evaluate'" in text
    code, text = run(monkeypatch, capsys, commands.main, "xyz")
    assert code == 2 and "known: sample" in text


@pytest.mark.parametrize("name", sorted(set(commands.COMMANDS) - OWN_PARSER))
def test_help_says_nothing_of_none(name, monkeypatch, capsys):
    code, text = run(monkeypatch, capsys, commands.main, name, "--help")
    assert code == 0
    assert text.startswith(f"usage: python -m lhg_jax.{name}")
    assert "None" not in text and "default: )" not in text


@pytest.mark.parametrize("name", ["", ".convert_weights", ".invert_portrait", ".vico_listener"])
def test_help_of_the_exporters(name, monkeypatch, capsys):
    main = importlib.import_module(f"lhg_exporters{name or '.__main__'}").main
    code, text = run(monkeypatch, capsys, main, "--help")
    assert code == 0 and text.startswith(f"usage: python -m lhg_exporters{name} ")
    assert "None" not in text and "default: )" not in text


@pytest.mark.parametrize("arguments", [["--version"], ["doctor", "--version"]])
def test_version(arguments, monkeypatch, capsys):
    assert run(monkeypatch, capsys, commands.main, *arguments) == (0, f"lhg_jax {lhg_jax.__version__}\n")


def test_groups_and_options_without_a_default(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Edit:
        scale: float = 1.0

    @dataclasses.dataclass(frozen=True)
    class Options:
        edit: Group[Edit] = dataclasses.field(default_factory=Edit)
        seed: Maybe[int] = None

    monkeypatch.setattr(sys, "argv", ["x", "--scale", "0.25"])
    assert parse(Options, "x", None) == Options(Edit(0.25), None)
    monkeypatch.setattr(sys, "argv", ["x", "--seed", "7"])
    assert parse(Options, "x", None) == Options(Edit(1.0), 7)


def test_a_closed_pipe_is_no_error():
    code = "import sys; from lhg_jax.__main__ import run; sys.argv = ['x']; run()"
    listing = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert listing.stdout
    listing.stdout.close()
    assert listing.communicate()[1] == ""
    assert listing.returncode in (0, 141)  # 0: all was written before the pipe closed
