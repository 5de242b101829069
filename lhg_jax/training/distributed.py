"""Several processes as one run: how they find each other, and when all of them stop."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from lhg_jax.config import Processes
from lhg_jax.util.errors import UserError, signal_handler
from lhg_jax.util.progress import console, say


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


def all_agree(yes: bool) -> bool:
    """Whether every process of the run says yes; every one has to ask."""
    if jax.process_count() == 1:
        return yes
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(yes)).all())


class StopRequest:
    """Turns Ctrl-C or SIGTERM into an answer that the loop asks for between two steps, the same everywhere.

    A second signal ends the process at once, whatever it is doing.
    """

    def __init__(self):
        self.signal = 0  # number of the signal that came first

    def agreed(self, step: int) -> bool:
        """Whether to stop after `step`. With several processes JAX carries the signal of one to all."""
        if jax.process_count() == 1:
            return bool(self.signal)
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles both signals while the body runs, where that can be done: in the main thread.

        With several processes SIGTERM is JAX's, and Ctrl-C is turned into it.
        """
        if jax.process_count() > 1:
            with signal_handler(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGTERM)):
                yield
        elif threading.current_thread() is threading.main_thread():
            first = signal_handler(signal.SIGINT, self._note)
            with first, signal_handler(signal.SIGTERM, self._note), self._watching():
                yield
        else:
            yield

    def _note(self, number: int, frame: Any) -> None:
        self.signal = self.signal or number

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Answers signals from a thread of its own: the main one may be compiling for minutes."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        thread = threading.Thread(target=_answer, args=(reader,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.close(writer)
            thread.join()
            os.close(reader)


def _answer(reader: int) -> None:
    """Says that the first signal was heard; ends the process at the second."""
    heard = 0
    while data := os.read(reader, 16):
        for number in data:
            if number not in (signal.SIGINT, signal.SIGTERM):
                continue
            heard += 1
            if heard == 1:
                say("stopping after this step, with a save (once more ends at once)")
                continue
            console.show_cursor(True)
            print("error: ended at once; the newest save is whole", file=sys.stderr, flush=True)
            os._exit(128 + number)
