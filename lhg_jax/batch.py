"""The csv of `sample --batch`: one clip a row, looked at as a whole before the first one is made."""

from pathlib import Path

from lhg_jax.outputs import require_distinct
from lhg_jax.util.csv_table import read_csv_table, require_utf8
from lhg_jax.util.errors import UserError

COLUMNS = ("speaker", "listener", "output", "audio", "transcript", "motion", "speaker_motion", "save_motion")
REQUIRED = ("listener", "output")
SOURCES = ("speaker", "audio", "motion")  # what the listener's motion comes from: one of them at least


def read_batch(path: Path) -> list[dict[str, Path]]:
    """Column to path, for each row of a csv; its relative paths start at the csv's folder.

    The header names the columns, in any order, with small or capital letters; cells are separated by commas,
    semicolons or tabs. Empty cells and lines do not count.

    Raises:
      UserError: with the line: an unknown column, a cell that is missing or too many, an output that
        is named twice, or no rows.
    """
    table = read_csv_table(path)
    require_utf8(path, table)
    columns = _header(path, table.header)
    rows = [_row(f"{path}: line {number}", columns, cells, path.parent) for number, cells in table.rows]
    if not rows:
        raise UserError(f"{path}: has no rows below its header")
    try:
        require_distinct([row[name] for row in rows for name in ("output", "save_motion") if name in row])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return rows


def _header(path: Path, cells: list[str]) -> list[str]:
    columns = [cell.lower() for cell in cells]
    for name in columns:
        if name not in COLUMNS:
            raise UserError(f"{path}: line 1: unknown column {name!r} (known: {', '.join(COLUMNS)})")
        if columns.count(name) > 1:
            raise UserError(f"{path}: line 1: column {name!r} is there twice")
    missing = [name for name in REQUIRED if name not in columns]
    if missing or not set(SOURCES) & set(columns):
        raise UserError(f"{path}: line 1: want columns listener, output and one of {', '.join(SOURCES)}")
    return columns


def _row(where: str, columns: list[str], cells: list[str], folder: Path) -> dict[str, Path]:
    if len(cells) > len(columns):
        raise UserError(
            f"{where} has {len(cells)} cells for {len(columns)} columns (quote cells with a comma)"
        )
    row = {name: folder / cell for name, cell in zip(columns, cells, strict=False) if cell}
    missing = [name for name in REQUIRED if name not in row]
    if not any(name in row for name in SOURCES):
        missing.append(" or ".join(name for name in SOURCES if name in columns))
    if missing:
        raise UserError(f"{where} has no {', '.join(missing)}")
    return row
