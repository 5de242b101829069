"""Imports run down: from entry points through the stages to the ground, and never sideways or in a circle.

Modules are read, not imported. An import inside a function counts as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import lhg_jax

PACKAGE = Path(lhg_jax.__file__).parent

# Rooms (folders, and modules at the root) from the ground up. A room may import from the floors below it.
FLOORS = (
    ("util", "version"),
    ("motion", "contract", "weights", "config_files"),
    ("features", "face_model", "moving_anchor", "media", "outputs"),
    ("liveportrait", "styles", "batch", "bridges"),
    ("speech", "faces", "models", "losses", "restore", "fading", "windowed_inference", "live_link"),
    ("render", "config", "generative", "streamed_inference"),
    ("data", "listener_checkpoint"),
    ("simulator", "draw_options"),
    ("metrics", "live"),
    ("preparation", "training"),
)
ENTRY = len(FLOORS)  # everything else: commands, the demo, and the pipeline behind `sample`

# (importing room, imported room) -> why that is right.
ALLOWED = {
    (
        "metrics",
        "lhg_exporters",
    ): "FID's official weights are a .pth, which the exporters' reader opens",
    ("util", "__init__"): "the version, for --version and doctor",
    ("training", "__init__"): "the version, in the first line of a run's log",
}


def floor(room: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), ENTRY)


def imports(path: Path) -> Iterator[str]:
    """Names of the rooms that a module imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "lhg_jax":
            names = [f"lhg_jax.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "lhg_exporters":
                yield package
            elif package == "lhg_jax":
                room = rest.split(".")[0]
                is_room = (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
                yield room if room and is_room else "__init__"


def arrows(package: Path = PACKAGE) -> dict[tuple[str, str], list[str]]:
    """(importing room, imported room) -> modules that do it."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        room = inside.parts[0].removesuffix(".py")
        for other in imports(path):
            if other != room:
                found.setdefault((room, other), []).append(str(inside))
    return found


def test_imports_run_down():
    wrong = {
        f"{a} -> {b}": modules
        for (a, b), modules in arrows().items()
        if floor(a) < ENTRY and (a, b) not in ALLOWED and floor(b) >= floor(a)
    }
    assert not wrong, "imports that run up or sideways; see docs/design.md, Layout"


def test_the_exceptions_are_still_needed():
    assert set(ALLOWED) <= set(arrows())


def test_entry_points_are_imported_by_entry_points_alone():
    """And nothing below the commands imports the exporters of official checkpoints."""
    below = {pair: m for pair, m in arrows().items() if floor(pair[0]) < ENTRY and pair not in ALLOWED}
    assert not {f"{a} -> {b}": m for (a, b), m in below.items() if floor(b) == ENTRY}


def test_training_needs_no_faces_no_video_and_no_renderer():
    """Pictures of a run are drawn by a function that the command passes in."""
    assert not {b for a, b in arrows() if a == "training"} & {"faces", "media", "render", "restore", "demo"}


def test_every_room_has_a_floor():
    """A new folder must say where it belongs."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= {room for rooms in FLOORS for room in rooms} | {"pipeline"}


def test_an_arrow_up_is_found(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.py").write_text("def f():\n    from lhg_jax.simulator.dyads import synthesise\n")
    assert arrows(tmp_path) == {("data", "simulator"): ["data/a.py"]}
    assert floor("simulator") > floor("data")
