"""`python -m lhg_exporters NAME --weights PATH --output PATH`: official weights -> ONNX files.

A network becomes one .onnx file; `faceshop` and `liveportrait` are folders of several. Needs the extra
`stages`. docs/weights.md says where official files come from.
"""

from lhg_exporters import EXPORTS, folders, onnx_file
from lhg_jax.util import registry
from lhg_jax.util.cli import parse
from lhg_jax.util.errors import run_cli

NAMES = {**folders.FOLDERS, **EXPORTS}


def main() -> None:
    """Parses the command line and exports."""
    options = parse(onnx_file.Options, "python -m lhg_exporters", describe())
    registry.require_known("stage", options.name, NAMES)
    if options.name in folders.FOLDERS:
        folders.export_folder(options)
        return
    difference = onnx_file.export(options)
    print(f"wrote {options.output} (differs from PyTorch by {difference:.2g} of the largest value)")


def describe() -> str:
    """The module's text, and the names there are."""
    return f"{__doc__}\n\nNAME is one of {', '.join(NAMES)}."


if __name__ == "__main__":
    run_cli(main)
