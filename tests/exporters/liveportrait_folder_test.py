"""`python -m lhg_exporters liveportrait`: the official folder as published, and what can be wrong with it."""

import sys

import pytest
from liveportrait_official import FILES, PARTS, linked, make_official, retargeting_state

from lhg_jax.util.errors import run_cli

torch = pytest.importorskip("torch")

from lhg_exporters import __main__, folders, load_export  # noqa: E402
from lhg_jax.util.errors import UserError  # noqa: E402


class Evil:
    """Unpickled by a plain unpickler, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def refused(monkeypatch, capsys, weights, output) -> str:
    """The one line with which the command ends; it must leave nothing behind."""
    arguments = ["lhg_exporters", "liveportrait", "--weights", weights, "--output", output]
    monkeypatch.setattr(sys, "argv", [str(x) for x in arguments])
    with pytest.raises(SystemExit) as exit_info:
        run_cli(__main__.main)
    assert exit_info.value.code == 2 and not output.exists()
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(missing, tmp_path, monkeypatch, capsys):
    for name, file in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        if name != missing:
            (tmp_path / file).write_bytes(b"")
    line = refused(monkeypatch, capsys, tmp_path, tmp_path / "out")
    assert line == f"error: {tmp_path / FILES[missing]}: missing"
    line = refused(monkeypatch, capsys, tmp_path / "none", tmp_path / "out")
    assert line.startswith(f"error: {tmp_path / 'none'}: not a folder")


@pytest.mark.parametrize("stage", FILES)
def test_files_that_are_no_weights_are_named(stage, tmp_path):
    path, mark = tmp_path / "official.pth", tmp_path / "mark"
    path.write_bytes(b"<!DOCTYPE html>" * 100)
    with pytest.raises(UserError, match=r"official.pth: not a PyTorch checkpoint"):
        load_export(f"liveportrait_{stage}", path)
    torch.save({"state": Evil(mark)}, path)
    with pytest.raises(UserError, match=r"official.pth: holds more than tensors"):
        load_export(f"liveportrait_{stage}", path)
    assert not mark.exists()
    torch.save([torch.zeros(3)], path)
    with pytest.raises(UserError, match=r"official.pth: holds a list, not"):
        load_export(f"liveportrait_{stage}", path)


def test_safetensors_beside_each_other_are_found(tmp_path):
    """As other projects publish them; the small networks' file is flat there."""
    for file in FILES.values():
        (tmp_path / file.split("/")[1].replace(".pth", ".safetensors")).write_bytes(b"")
    found = folders.liveportrait_sources(tmp_path)
    assert {path.name for path in found.values()} == {path.name for path in tmp_path.iterdir()}


def test_the_small_networks_flat_as_safetensors(shared, tmp_path):
    import safetensors.torch

    nested, path = retargeting_state(shared), tmp_path / "stitching_retargeting_module.safetensors"
    flat = {f"{part}_{key}": x.clone() for part, state in nested.items() for key, x in state.items()}
    safetensors.torch.save_file(flat, path)
    for stage, part in zip(("stitching", "eye", "lip"), PARTS, strict=True):
        loaded = load_export(f"liveportrait_{stage}", path).module.state_dict()
        assert all(torch.equal(loaded[key.removeprefix("module.")], x) for key, x in nested[part].items())


@pytest.fixture(scope="module")
def official(shared, tmp_path_factory):
    return make_official(shared, tmp_path_factory.mktemp("official") / "liveportrait")


@pytest.mark.slow  # every case reads hundreds of megabytes
@pytest.mark.parametrize("wrong", FILES)
def test_a_mixed_up_file_is_named_before_anything_is_written(wrong, official, tmp_path, monkeypatch, capsys):
    """Each file in turn holds what the next one should."""
    names = list(FILES)
    other = FILES[names[(names.index(wrong) + 1) % len(names)]]
    folder = linked(official, tmp_path / "liveportrait")
    (folder / FILES[wrong]).unlink()
    (folder / FILES[wrong]).hardlink_to(official / other)
    line = refused(monkeypatch, capsys, folder, tmp_path / "out")
    assert line.startswith(f"error: {folder / FILES[wrong]}: ")
    assert "not weights of" in line or "no state dict" in line or "holds no network" in line
