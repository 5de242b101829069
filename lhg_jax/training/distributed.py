"""Several processes as one run: how they find each other, and when all of them stop."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from lhg_jax.config import Processes
from lhg_jax.util.errors import UserError, handling


def connect(processes: Processes, environment: Mapping[str, str] = os.environ) -> None:
    """Joins the other processes of the run, before anything touches a device; alone: does nothing.

    Where not all of them come within `processes.timeout_s` the process ends with one line and code 2, also
    from inside the call, which itself would only abort.

    Raises:
      UserError: flags that do not fit together, or a cluster that JAX cannot read.
    """
    arguments = jax_arguments(processes, environment)
    if arguments is None:
        return
    coordinator = arguments.get("coordinator_address", "the cluster's coordinator")
    message = (
        f"{coordinator}: not all processes of the run came together within {processes.timeout_s} s "
        "(is process 0 up and reachable from here? --timeout-s gives them longer)"
    )
    with ending_after(processes.timeout_s, message):
        try:
            jax.distributed.initialize(**arguments, initialization_timeout=processes.timeout_s + 60)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{coordinator}: {str(error).splitlines()[0]}") from error


def jax_arguments(processes: Processes, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Arguments of `jax.distributed.initialize`: empty where JAX asks the cluster; None for one process."""
    address, number, process = processes.coordinator, processes.num_processes, processes.process_id
    if not address:
        if number is not None or process is not None:
            raise UserError("--num-processes and --process-id need --coordinator HOST:PORT")
        detected = processes.detect == "on" or (processes.detect == "auto" and cluster(environment))
        return {} if detected else None
    if number is None or process is None:
        raise UserError(f"--coordinator {address} needs --num-processes and --process-id")
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise UserError(f"--coordinator {address}: not HOST:PORT")
    if not 0 <= process < number:
        raise UserError(f"--process-id {process}: not in [0, {number})")
    return {
        "coordinator_address": address,
        "num_processes": number,
        "process_id": process,
        "cluster_detection_method": "deactivate",
    }


def cluster(environment: Mapping[str, str]) -> str:
    """Name of the cluster that started this process as one of several; empty for none.

    A TPU pod outside GKE does not show in the environment: there `--detect on` makes JAX ask its metadata.
    """
    if "SLURM_STEP_NODELIST" in environment and int(environment.get("SLURM_NTASKS", 1)) > 1:
        return "SLURM"
    if "OMPI_MCA_orte_hnp_uri" in environment and int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return "Open MPI"
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES", "")
    if len(hosts.split(",")) > 1 or "MEGASCALE_COORDINATOR_ADDRESS" in environment:
        return "GKE TPU"
    return ""


@contextlib.contextmanager
def ending_after(seconds: float, message: str) -> Iterator[None]:
    """Ends the process with `message` and code 2 if the body takes longer, whatever it is stuck in."""

    def end() -> None:
        print(f"error: {message}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class StopRequest:
    """Turns SIGTERM into an answer that the loop asks for between two steps, the same in all processes."""

    def __init__(self):
        self._requested = False

    def agreed(self, step: int) -> bool:
        """Whether to stop after `step`. With several processes JAX carries the signal of one to all."""
        if jax.process_count() == 1:
            return self._requested
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """Handles SIGTERM while the body runs, where that can be done: alone and in the main thread."""
        alone = jax.process_count() == 1
        return handling(signal.SIGTERM, self._request) if alone else contextlib.nullcontext()

    def _request(self, signum: int, frame: Any) -> None:
        self._requested = True
