"""Tables are read however a spreadsheet wrote them."""

import numpy as np
import pytest

from lhg_jax.metrics import leaderboard, pairs
from lhg_jax.util.csv_table import read_csv_table, require_utf8
from lhg_jax.util.errors import UserError

CELLS = "abcdefgh éß中☺"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_random_tables(tmp_path, delimiter, end, encoding):
    rng = np.random.default_rng(0)
    header = ["uuid", "SSIM", "note"]
    rows = [["".join(rng.choice(list(CELLS), 5)).strip() or "x" for _ in header] for _ in range(8)]
    quoted = [[f'"{cell}{delimiter}q"' for cell in row] for row in rows]
    lines = [delimiter.join(row) for row in (header, *quoted)]
    lines.insert(3, delimiter * 2)
    (tmp_path / "a.csv").write_bytes((end.join(lines) + end).encode(encoding))
    table = read_csv_table(tmp_path / "a.csv")
    assert table.header == header and table.delimiter == delimiter
    assert [cells for _, cells in table.rows] == [[f"{cell}{delimiter}q" for cell in row] for row in rows]
    assert [number for number, _ in table.rows] == [2, 3, *range(5, 11)]


def test_excel_writes_its_delimiter_first(tmp_path):
    (tmp_path / "a.csv").write_text("sep=;\r\nuuid;b\r\n1,5;2\r\n")
    table = read_csv_table(tmp_path / "a.csv")
    assert (table.header, table.rows, table.delimiter) == (["uuid", "b"], [(3, ["1,5", "2"])], ";")


def test_other_text_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("uuid,b\nä,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"a.csv: line 2: \\xe4 is not UTF-8 text"):
        require_utf8(tmp_path / "a.csv", read_csv_table(tmp_path / "a.csv"))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfea")
    with pytest.raises(UserError, match="neither UTF-8 nor UTF-16"):
        read_csv_table(tmp_path / "b.csv")
    with pytest.raises(UserError, match=r"c\.csv: cannot be read"):
        read_csv_table(tmp_path / "c.csv")


def test_decimal_commas_of_other_systems(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("Team;SSIM;PSNR;FID\nours;0,5;-;nan\nthem;0.25;1e-3;\n")
    assert leaderboard.read_rows(path) == {
        "ours": {"ssim": 0.5, "psnr": None, "fid": None},
        "them": {"ssim": 0.25, "psnr": 0.001, "fid": None},
    }
    for text, words in [
        ('team,SSIM\nours,"0,5"\n', "line 2: '0,5' is no number .decimal commas need semicolons"),
        ("team;SSIM\nours;1.234,5\n", "line 2: '1.234,5' is no number"),
        ("team,SSIM\na,1\na,2\n", "line 3: team 'a' is there twice"),
        ("team,SSIM\n,1\n", "line 2 has no team"),
        ("team,SSIM\na,1,2\n", "line 2 has 3 cells for 2 columns"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            leaderboard.read_rows(path)


def test_annotations_in_any_spreadsheets_csv(tmp_path):
    (tmp_path / "x").mkdir()
    for name in "ab":
        (tmp_path / "x" / f"{name}.mp4").write_bytes(b"film")
    (tmp_path / "list.csv").write_bytes("sep=\t\r\nnote\tUUID \r\n\tb\r\n".encode("utf-16"))
    [pair] = pairs.find_pairs(tmp_path / "x", tmp_path / "x", tmp_path / "list.csv")
    assert pair.name == "b" and pair.prediction == tmp_path / "x" / "b.mp4"
