"""Outputs that cannot be written or would destroy an input are found before anything is done."""

import os
from pathlib import Path

import pytest

from lhg_jax.outputs import require_outputs, require_suffix
from lhg_jax.util.errors import UserError


@pytest.mark.parametrize("kind", ["same", "dots", "symlink", "hardlink", "folder_link"])
def test_an_input_is_never_an_output(tmp_path, kind):
    source = tmp_path / "talk.mp4"
    source.write_bytes(b"film")
    (tmp_path / "sub").mkdir()
    name = {
        "same": source,
        "dots": tmp_path / "sub" / ".." / "talk.mp4",
        "symlink": tmp_path / "link.mp4",
        "hardlink": tmp_path / "hard.mp4",
        "folder_link": tmp_path / "again" / "talk.mp4",
    }[kind]
    if kind == "symlink":
        name.symlink_to(source)
    if kind == "hardlink":
        os.link(source, name)
    if kind == "folder_link":
        (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(UserError, match="is one of the inputs"):
        require_outputs([tmp_path / "other.mp4", name], [tmp_path / "none.wav", source])
    assert source.read_bytes() == b"film"


def test_good_outputs_leave_no_trace(tmp_path):
    (tmp_path / "old.mp4").write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))
    require_outputs([tmp_path / "new" / "deep" / "a.mp4", tmp_path / "old.mp4"], [tmp_path / "in.mp4"])
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "old.mp4").read_bytes() == b"old"


def test_bad_places_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir.mp4").mkdir()
    for name, words in [
        ("file/o.mp4", "cannot be written"),
        ("dir.mp4", "is a folder"),
        ("x" * 300 + ".mp4", "cannot be written"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            require_outputs([tmp_path / name], [])
        assert str(tmp_path / name) in str(error.value)
    with pytest.raises(UserError, match="named twice"):
        require_outputs([tmp_path / "a.mp4", tmp_path / "." / "a.mp4"], [])


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody may write to")
def test_a_folder_that_nobody_may_write_to():
    with pytest.raises(UserError, match=r"/proc/self/o\.mp4: cannot be written"):
        require_outputs([Path("/proc/self/o.mp4")], [])


def test_suffixes():
    require_suffix(Path("A.MP4"), (".mp4", ".mov"), "video")
    with pytest.raises(UserError, match=r"a.webm: video is written as .mp4, .mov"):
        require_suffix(Path("a.webm"), (".mp4", ".mov"), "video")
