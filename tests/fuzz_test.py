"""Damaged files, files that claim too much, full disks and kills: one line, and nothing half written."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from durable_outputs import KINDS as OUTPUTS
from fuzz_cases import KINDS, MAX_MEMORY, MAX_SECONDS

from lhg_jax.faces.precomputed import read_coefficients
from lhg_jax.util import archives, interop
from lhg_jax.util.errors import UserError
from lhg_jax.weights import load_weights

HERE = Path(__file__).parent
COUNT = int(os.environ.get("LHG_FUZZ_COUNT", "200"))  # damaged files of each kind and seed
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind, seed, tmp_path):
    command = [sys.executable, HERE / "fuzz_cases.py", kind, str(seed), str(COUNT), tmp_path / "f"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
    results = [line for line in lines if "verdict" in line]
    assert len(results) == COUNT
    bad = [line for line in results if line["verdict"] not in ("read", "error") or line["left"]]
    assert not bad, bad
    assert sum(line["verdict"] == "error" for line in results) > COUNT / 20
    assert max(line["seconds"] for line in results) < MAX_SECONDS
    assert max(line["memory"] for line in results) < MAX_MEMORY


def test_weights_that_claim_terabytes(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4 << 40]}}).encode()
    for name, data in [
        ("data", struct.pack("<Q", len(header)) + header + bytes(100)),
        ("header", struct.pack("<Q", 1 << 45) + bytes(100)),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name}: not a safetensors file"):
            load_weights(tmp_path / name)


def write_npz(path, shape, zeros):
    """One array, compressed, whose header gives `shape` over that many bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("coeff.npy", header.getvalue() + bytes(zeros))
    return path


def test_archives_that_claim_or_hold_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 100_000)
    with pytest.raises(UserError, match=r"bomb.npz: unpacks to 0.0 GB, more than"):
        read_coefficients(write_npz(tmp_path / "bomb.npz", (100, 257), 102_800))
    with pytest.raises(UserError, match=r"claim.npz: not an .npz file"):
        read_coefficients(write_npz(tmp_path / "claim.npz", (10**12, 257), 1000))
    assert len(read_coefficients(write_npz(tmp_path / "good.npz", (90, 257), 92_520))) == 90


@pytest.mark.parametrize("absolute", [False, True])
def test_networks_whose_weights_lie_elsewhere(tmp_path, absolute):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    weight = onnx.TensorProto(name="w", data_type=1, dims=[4, 4], data_location=onnx.TensorProto.EXTERNAL)
    place = weight.external_data.add()
    place.key, place.value = "location", str(tmp_path / "secret.bin") if absolute else "../secret.bin"
    values = [onnx.helper.make_tensor_value_info(name, 1, ["n", 4]) for name in "xy"]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [values[0]], [values[1]], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"a.onnx: not a usable ONNX file"):
        interop.load(tmp_path / "sub/a.onnx")


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_files(tmp_path):
    command = [sys.executable, HERE / "durable_outputs.py", "full", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    first, *errors = done.stdout.splitlines()
    assert first == "ready" and done.returncode == 0, done.stderr
    for (name, (_, read)), error in zip(OUTPUTS.items(), errors, strict=True):
        assert error.startswith(f"error: {tmp_path / name}: cannot be written"), errors
        read(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == set(OUTPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_kill_9_leaves_whole_files(tmp_path, seed):
    command = [sys.executable, HERE / "durable_outputs.py", "loop", tmp_path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(np.random.default_rng(seed).uniform(0.05, 1.5))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    for name, (_, read) in OUTPUTS.items():
        read(tmp_path / name)
