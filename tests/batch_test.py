"""The csv of a batch: every way of writing it that is read, and every fault found before the work."""

import pytest

from lhg_jax.batch import read_batch
from lhg_jax.util.errors import UserError


def write(folder, text, encoding="utf-8"):
    path = folder / "batch.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", ", " ;"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_ways_of_writing_a_table(tmp_path, delimiter, end):
    lines = [
        ["Speaker", "OUTPUT", " listener", "transcript"],
        ["a b.mp4", "o.mp4", "é.png", ""],
        ["", "", "", ""],
        ["/x/c.mp4", "p.mp4", "d.png", "t.srt"],
    ]
    text = (end or "\n").join(delimiter.join(line) for line in lines) + end
    assert read_batch(write(tmp_path, text, "utf-8-sig")) == [
        {"speaker": tmp_path / "a b.mp4", "output": tmp_path / "o.mp4", "listener": tmp_path / "é.png"},
        {
            "speaker": tmp_path.joinpath("/x/c.mp4"),
            "output": tmp_path / "p.mp4",
            "listener": tmp_path / "d.png",
            "transcript": tmp_path / "t.srt",
        },
    ]


def test_quoted_cells(tmp_path):
    rows = read_batch(write(tmp_path, 'listener,audio,output,,\n"a, b.png", "s.wav","x ""y"".mp4",,\n'))
    assert rows == [
        {"listener": tmp_path / "a, b.png", "audio": tmp_path / "s.wav", "output": tmp_path / 'x "y".mp4'}
    ]


@pytest.mark.parametrize(
    "text,words",
    [
        ("speaker,listener,output,transcipt\na,b,c,d\n", "line 1: unknown column 'transcipt'"),
        ("speaker,listener,output\n", "no rows"),
        ("", "want columns"),
        ("speaker,listener,output\n\n,,\n", "no rows"),
        ("speaker,listener,output\na,b,c.mp4\n\nd,e,c.mp4\n", "c.mp4: is named twice"),
        ("speaker,listener,output\na,b,e\u0301.mp4\na,b,\u00e9.mp4\n", "is named twice"),
        ("speaker,listener,output\na,b,c.mp4\n\nd,,f.mp4\n", "line 4 has no listener"),
        ("speaker,audio,listener,output\n,,a,b\n", "line 2 has no speaker or audio"),
        ('listener,output,speaker\n"a\nb"\n', "line 3 has no output, speaker"),
        ("speaker,listener,output\na,b,c,d\n", "line 2 has 4 cells for 3 columns"),
        ("speaker,speaker,listener,output\na,b,c,d\n", "'speaker' is there twice"),
        ("listener,output\na,b\n", "want columns listener, output and one of speaker"),
        ("speaker,listener,output\na,b," + "c" * 200_000 + "\n", "not csv"),
    ],
)
def test_faults_are_named(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=words) as error:
        read_batch(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_other_encodings_are_an_error(tmp_path, encoding):
    with pytest.raises(UserError, match=r"line 2: .* is not UTF-8 text"):
        read_batch(write(tmp_path, "speaker,listener,output\né,b,c\n", encoding))
    with pytest.raises(UserError, match="cannot be read"):
        read_batch(tmp_path / "none.csv")
