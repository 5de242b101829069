"""A cache is never needed: it is used where it can be written, and nothing is said where it cannot."""

import os
import stat

import pytest

from lhg_jax.util import compilation_cache


@pytest.fixture(autouse=True)
def no_setting(monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)


def test_it_lies_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compilation_cache.cache_folder() == tmp_path / "lhg_jax" / "jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # not set, by the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compilation_cache.cache_folder() == tmp_path / "home" / ".cache" / "lhg_jax" / "jax"


def test_a_user_without_a_home_has_none(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(compilation_cache.Path, "home", homeless)
    assert compilation_cache.cache_folder() is None
    compilation_cache.use_compilation_cache()


def test_a_folder_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compilation_cache.cache_folder() is None
    if os.getuid():  # root writes everywhere
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
        assert compilation_cache.cache_folder() is None
