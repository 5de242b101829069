"""The documents' code runs, and the commands in them have the options that they use."""

import dataclasses
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
import skimage.io
from sample_helpers import write_clip

from lhg_jax.__main__ import command_module
from lhg_jax.util.errors import run_cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"python -m (lhg_jax\.\w+|lhg_exporters(?:\.\w+)?)((?:\\\n|[^\n`])*)")
OTHER = {"lhg_jax.train"}  # its options are those of a config (tests/config_test.py)


def blocks(path: Path, *languages: str) -> list[tuple[str, str]]:
    """(language, code) of a page's blocks, in order."""
    return [block for block in FENCE.findall(path.read_text(encoding="utf-8")) if block[0] in languages]


def option_names(options: type) -> set[str]:
    """Names on the command line of a dataclass's fields, those of groups included."""
    found = set()
    for field in dataclasses.fields(options):
        kind = getattr(field.type, "__origin__", field.type)
        if dataclasses.is_dataclass(kind):
            found |= option_names(kind)
        else:
            found |= {field.name.replace("_", "-"), f"no-{field.name}".replace("_", "-")}
    return found


def used_options(text: str) -> list[tuple[str, str]]:
    """(command, option) of every command in a text."""
    found = []
    for command, rest in COMMAND.findall(text):
        words = re.findall(r"(?<=\s)--([a-z][a-z-]*)", rest.replace("\\\n", " "))
        found += [(command, word) for word in words]
    return found


def options_of(command: str) -> type:
    """The dataclass of a command's options."""
    package, _, name = command.partition(".")
    if package == "lhg_jax":
        return command_module(name).Options
    return importlib.import_module(f"{package}.{name or 'onnx_file'}").Options


def test_options_are_found_in_text():
    text = "`python -m lhg_jax.sample --speaker a \\\n --side-by-side`, python -m lhg_exporters x --output=x"
    found = [("lhg_jax.sample", "speaker"), ("lhg_jax.sample", "side-by-side"), ("lhg_exporters", "output")]
    assert used_options(text) == found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_that_are_used(page):
    for command, option in used_options(page.read_text(encoding="utf-8")):
        if command not in OTHER:
            known = option_names(options_of(command)) | {"help", "version"}
            assert option in known, f"{command} --{option}"


def whole_commands(text: str) -> list[tuple[str, str]]:
    """(command, what stands behind it) of every command that is given in full and reads files.

    What is in brackets, because it may be left out, counts.
    """
    found = [(command, rest.replace("\\\n", " ")) for command, rest in COMMAND.findall(text)]
    found = [(command, re.split(r" [#(|]", rest)[0].strip()) for command, rest in found]
    found = [(command, re.sub(r"[][]", "", rest)) for command, rest in found]
    reads = re.compile(r"--(weights|speaker|target|root|speech) ")
    return [(command, rest) for command, rest in found if reads.search(rest) and not rest.startswith("...")]


WEIGHTS, DATA = (
    whole_commands((ROOT / "docs" / name).read_text(encoding="utf-8")) for name in ("weights.md", "data.md")
)


def test_whole_commands_are_found():
    assert len(WEIGHTS) > 15 and {command for command, _ in WEIGHTS} >= {"lhg_jax.sample", "lhg_exporters"}
    assert len(DATA) > 7 and {command for command, _ in DATA} == {"lhg_jax.prepare", "lhg_jax.sample"}


@pytest.mark.parametrize(("command", "rest"), [*WEIGHTS, *DATA])
def test_commands_on_files_say_in_one_line_what_is_missing(command, rest, tmp_path, monkeypatch, capsys):
    """In an empty folder, where none of the files is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [command, *shlex.split(rest)])
    package, _, name = command.partition(".")
    module = command_module(name) if package == "lhg_jax" else f"{package}.{name or '__main__'}"
    main = (importlib.import_module(module) if isinstance(module, str) else module).main
    with pytest.raises(SystemExit) as stop:
        run_cli(main)
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and not list(tmp_path.iterdir())
    if "NAME" in rest:
        assert "known: faceshop, liveportrait, tddfa, " in line
    else:
        assert set(re.findall(r"[^\s:,]+", line)) & set(rest.split()), "what is missing"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http", "mailto")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """As they stand, or inside one of the two packages."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for name in re.findall(r"`([a-z_0-9/]*/[a-z_0-9]+\.(?:py|json|csv))(?:::\w+)?`", text):
        assert any((ROOT / part / name).exists() for part in ("", "lhg_jax", "lhg_exporters")), name


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The files that the pages speak of."""
    place = tmp_path_factory.mktemp("docs")
    write_clip(place / "talk.mp4", 12)
    portrait = skimage.data.astronaut()[:300, 80:380]
    skimage.io.imsave(place / "face.png", portrait, check_contrast=False)
    (place / "talk.srt").write_text("1\n00:00:00,100 --> 00:00:00,400\nyes indeed\n")
    return place


@pytest.mark.slow
def test_readme_from_python(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    [(_, code)] = blocks(ROOT / "README.md", "python")
    exec(compile(code, "README.md", "exec"), {})
    assert (place / "out.mp4").exists() and capsys.readouterr().out.endswith("70)\n")


@pytest.mark.slow
def test_python_page(place, monkeypatch, capsys):
    """Every block in order; of the formats of other runtimes, those whose packages are installed."""
    monkeypatch.chdir(place)
    names: dict = {}
    skipped = ""
    for language, code in blocks(ROOT / "docs" / "python.md", "python", "sh"):
        if skipped and skipped in code:
            continue
        if language == "sh":
            skipped = export(code)
        else:
            exec(compile(code, "docs/python.md", "exec"), names)
    assert names["motion"].shape == (1, 34, 70)
    assert {"listening.mp4", "both.mp4", "listener_1.mp4"} <= {path.name for path in place.iterdir()}
    assert "missing.mp4" in capsys.readouterr().out


def export(code: str) -> str:
    """Runs one of the page's export commands; returns the file whose code cannot run here, or nothing."""
    program, *arguments = shlex.split(code)
    if program.startswith(".venv-export") and not shutil.which(program, path=str(ROOT)):
        return arguments[arguments.index("--output") + 1]
    subprocess.run([sys.executable, *arguments], check=True)
    return ""
