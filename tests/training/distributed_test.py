"""Several processes: how they find each other, and that they compute what one would."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from clip_folder import make_folder
from training_cli import finish, metrics, saved, start, write_config
from training_configs import listener_config, make_config

from lhg_jax.config import OptimizerConfig, Processes, StartConfig
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.models.vico_lstm import ViCoConfig
from lhg_jax.training.distributed import StopRequest, cluster, jax_arguments
from lhg_jax.training.sharding import MIN_SHARDED_SIZE
from lhg_jax.util.errors import UserError

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
GKE = {"TPU_WORKER_HOSTNAMES": "a-0,a-1", "TPU_WORKER_ID": "1"}


@pytest.mark.parametrize(
    "environment, name",
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}, ""),  # inside salloc, not started by srun
        (SLURM, "SLURM"),
        ({**SLURM, "SLURM_NTASKS": "1"}, ""),
        ({"OMPI_MCA_orte_hnp_uri": "x", "OMPI_COMM_WORLD_SIZE": "4"}, "Open MPI"),
        (GKE, "GKE TPU"),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, ""),
    ],
)
def test_clusters_are_recognised(environment, name):
    assert cluster(environment) == name
    assert jax_arguments(Processes(), environment) == ({} if name else None)
    assert jax_arguments(Processes(detect="off"), environment) is None
    assert jax_arguments(Processes(detect="on"), environment) == {}


def test_explicit_flags_come_before_the_cluster():
    arguments = jax_arguments(Processes("host:12", 2, 1), SLURM)
    assert arguments["coordinator_address"] == "host:12"
    assert (arguments["num_processes"], arguments["process_id"]) == (2, 1)
    assert arguments["cluster_detection_method"] == "deactivate"


@pytest.mark.parametrize(
    "processes, message",
    [
        (Processes("host:12", 2), "--coordinator host:12 needs --num-processes and --process-id"),
        (Processes("host:12"), "needs --num-processes and --process-id"),
        (Processes("", 2, 1), "need --coordinator HOST:PORT"),
        (Processes("host", 2, 1), "--coordinator host: not HOST:PORT"),
        (Processes("host:12", 2, 2), r"--process-id 2: not in \[0, 2\)"),
    ],
)
def test_flags_that_do_not_fit(processes, message):
    with pytest.raises(UserError, match=message):
        jax_arguments(processes, {})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_two(config: Path, workdir: Path, cache: Path) -> list[subprocess.Popen]:
    """Two processes of four devices each, which train together."""
    flags = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--timeout-s", "500")
    return [start(config, workdir, *flags, "--process-id", str(i), devices=4, cache=cache) for i in range(2)]


@pytest.mark.slow  # starts JAX anew
@pytest.mark.parametrize("process_id", [0, 1])
def test_processes_that_never_come_end_with_one_line(process_id):
    code = (
        "from lhg_jax.config import Processes\n"
        "from lhg_jax.util.errors import run_cli\n"
        "from lhg_jax.training.distributed import connect\n"
        f"run_cli(lambda: connect(Processes('127.0.0.1:{free_port()}', 2, {process_id}, timeout_s=3)))\n"
    )
    start_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "not all processes of the run came together" in done.stderr
    assert time.monotonic() - start_s < 60


STUCK = (
    "import time; from lhg_jax.training.distributed import StopRequest\n"
    "stop = StopRequest()\n"
    "with stop.listening():\n"
    "    print('in', flush=True)\n"
    "    while not stop.signal: time.sleep(0.01)\n"
    "    print('heard', flush=True)\n"
    # As when a program is compiled: no signal handler of Python's runs here.
    "    import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_busy_process_at_once(number):
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        process.send_signal(number)
        assert process.stdout.readline() == "heard\n"
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        said = process.stderr.read().splitlines()
    assert said == [
        "stopping after this step, with a save (once more ends at once)",
        "error: ended at once; the newest save is whole",
    ]


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop = StopRequest()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.agreed(1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.slow  # four processes that compile the listener: minutes
def test_one_device_eight_and_two_processes_of_four_have_the_same_losses(tmp_path):
    make_folder(tmp_path / "clips", frames=(9, 12, 7))
    config = write_config(tmp_path / "config.py", listener_config(tmp_path / "clips"))
    cache = tmp_path / "cache"
    finish(start(config, tmp_path / "one", cache=cache))
    finish(start(config, tmp_path / "eight", devices=8, cache=cache))
    two = start_two(config, tmp_path / "two", cache)
    outputs = [finish(process) for process in two]
    assert "finished at step 20" in outputs[0]
    assert "finished" not in outputs[1] and "training" not in outputs[1]
    one = metrics(tmp_path / "one")
    assert [entry["step"] for entry in one] == list(range(1, 21))
    for name in ("eight", "two"):
        other = metrics(tmp_path / name)
        for metric in ("loss", "L_dec", "L_const"):
            losses = [[entry[metric] for entry in run] for run in (other, one)]
            np.testing.assert_allclose(*losses, rtol=1e-5, err_msg=f"{name} {metric}")
        scores = [metrics(tmp_path / folder, "eval")[-1] for folder in (name, "one")]
        np.testing.assert_allclose(scores[0]["L_dec"], scores[1]["L_dec"], rtol=1e-4)
    states = [saved(tmp_path / name, 20) for name in ("two", "one")]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_allclose(value, states[1][name], rtol=1e-2, atol=1e-4, err_msg=name)


@pytest.mark.slow  # three processes that compile the listener
def test_groups_on_eight_devices_and_on_two_processes_of_four_have_the_same_losses(tmp_path):
    """Also with dropout and noise, which a clip's place in the batch decides."""
    make_folder(tmp_path / "clips", frames=(9, 12, 7))
    config = listener_config(tmp_path / "clips")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, dropout=0.2),
        data=dataclasses.replace(config.data, evaluation=""),
        train=dataclasses.replace(config.train, steps=6),
        loss=dataclasses.replace(config.loss, negatives="group", group_clips=4),
        augment=dataclasses.replace(config.augment, label_noise=0.1),
    )
    file, cache = write_config(tmp_path / "config.py", config), tmp_path / "cache"
    finish(start(file, tmp_path / "eight", devices=8, cache=cache))
    for process in start_two(file, tmp_path / "two", cache):
        finish(process)
    eight, two = metrics(tmp_path / "eight"), metrics(tmp_path / "two")
    assert [entry["step"] for entry in two] == list(range(1, 7))
    for metric in ("loss", "L_const", "candidates", "grad_norm"):
        values = [[entry[metric] for entry in run] for run in (two, eight)]
        np.testing.assert_allclose(*values, rtol=1e-5, err_msg=metric)
    states = [saved(tmp_path / name, 6) for name in ("two", "eight")]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_allclose(value, states[1][name], rtol=1e-2, atol=1e-4, err_msg=name)


@pytest.mark.slow  # three processes that compile
def test_two_processes_start_from_a_listener_and_leave_one(tmp_path):
    """Some parameters are spread over both. The steps are too small to change one."""
    make_folder(tmp_path / "clips")
    config = make_config(tmp_path / "clips", steps=2, model=ViCoConfig(coeff=70, hidden=64, layers=1))
    cache, listener = tmp_path / "cache", "listener.safetensors"
    finish(start(write_config(tmp_path / "one.py", config), tmp_path / "one", cache=cache))
    still = dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, fsdp=8),
        optimizer=OptimizerConfig(learning_rate=1e-30, warmup_steps=0, weight_decay=0.0),
        start=StartConfig(listener=str(tmp_path / "one" / listener)),
    )
    file = write_config(tmp_path / "two.py", still)
    two = start_two(file, tmp_path / "two", cache)
    assert f"listener: {tmp_path / 'two' / listener}" in finish(two[0]).replace("\n", "")
    finish(two[1])
    one, after = (load_listener(tmp_path / name / listener).variables for name in ("one", "two"))
    assert max(x.size for x in jax.tree.leaves(one["params"])) > MIN_SHARDED_SIZE
    for part in ("params", "constants"):
        jax.tree.map(np.testing.assert_array_equal, after[part], one[part])


@pytest.mark.slow
def test_sigterm_to_one_process_stops_both_at_the_same_step(tmp_path):
    make_folder(tmp_path / "clips")
    config = make_config(tmp_path / "clips", steps=1_000_000)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, evaluation=""))
    file, cache = write_config(tmp_path / "config.py", config), tmp_path / "cache"
    two = start_two(file, tmp_path / "run", cache)
    while not (tmp_path / "run" / "metrics.jsonl").exists() or len(metrics(tmp_path / "run")) < 3:
        assert all(process.poll() is None for process in two), two[0].communicate()
        time.sleep(0.2)
    two[1].terminate()
    outputs = [finish(process, code=143) for process in two]
    assert "stopped and saved at step" in outputs[0]
    last = int(outputs[0].split("stopped and saved at step ")[1].split(":")[0])
    assert (tmp_path / "run" / "checkpoints" / str(last)).is_dir()
