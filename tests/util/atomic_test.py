import os
import threading

import pytest

from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError


def test_the_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.json"
    with replacing(path) as temporary:
        assert temporary.suffix == ".json" and not path.exists()
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_two_writers_with_one_process_id_do_not_meet(tmp_path, monkeypatch):
    """As two containers on a shared disk, each of them process 1: both files are whole, the last stays."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    path, names, both = tmp_path / "a.clip", [], threading.Barrier(2, timeout=10)

    def write(text):
        with replacing(path) as temporary:
            names.append(temporary)
            both.wait()
            temporary.write_text(text)
            both.wait()
            assert temporary.read_text() == text

    threads = [threading.Thread(target=write, args=(letter * 9,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 2 and path.read_text() in ("a" * 9, "b" * 9)
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("sync"), sync(number)))
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("replace"), replace(*paths)))
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert order == ["sync", "replace"]


def test_others_may_read_it(tmp_path):
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_in_the_way_is_named(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a file"), replacing(tmp_path):
        pass
