"""Tables as spreadsheets of all countries write them: commas, semicolons or tabs between the cells."""

import csv
import dataclasses
import io
from pathlib import Path

from lhg_jax.util.errors import UserError

DELIMITERS = ",;\t"


@dataclasses.dataclass(frozen=True)
class CsvTable:
    """Cells without the blanks around them.

    Attributes:
      header: names of the columns, without empty ones at the end.
      rows: (number of the line, cells) of each row that has any; no empty ones beyond the header's.
      delimiter: what stands between the cells.
    """

    header: list[str]
    rows: list[tuple[int, list[str]]]
    delimiter: str


def read_csv_table(path: Path) -> CsvTable:
    """Reads a table in UTF-8, or in UTF-16 with its mark; bytes that are neither stay as surrogates.

    The header says which delimiter it is. Excel's first line `sep=;` is no row.

    Raises:
      UserError: the file cannot be read, or is no csv; with the line.
    """
    try:
        text = _text(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is neither UTF-8 nor UTF-16 text") from None
    header, skipped = text.partition("\n")[0], 0
    if header.strip().lower().startswith("sep="):
        text, skipped = text.partition("\n")[2], 1
        header = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        header_cells = _trimmed(next(reader, []))
        rows = [
            (reader.line_num + skipped, _trimmed(line, len(header_cells)))
            for line in reader
            if any(map(str.strip, line))
        ]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num + skipped}: not csv ({error})") from None
    return CsvTable(header_cells, rows, delimiter)


def require_utf8(path: Path, table: CsvTable) -> None:
    """Raises `UserError` with the line of the first cell that is not UTF-8 text."""
    for number, cells in [(1, table.header), *table.rows]:
        for cell in cells:
            if any("\udc80" <= letter <= "\udcff" for letter in cell):
                shown = cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                raise UserError(f"{path}: line {number}: {shown} is not UTF-8 text")


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what Excel calls "Unicode text"
        return data.decode("utf-16")
    return data.decode("utf-8-sig", "surrogateescape")


def _trimmed(cells: list[str], least: int = 0) -> list[str]:
    """Cells without blanks around them, and without the empty ones that spreadsheets put at the end."""
    cells = [cell.strip() for cell in cells]
    while len(cells) > least and not cells[-1]:
        cells.pop()
    return cells
