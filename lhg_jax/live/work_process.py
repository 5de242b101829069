"""The server's side of the work process: starts it, speaks to it, and starts it again where it ends.

Nothing here waits for it. What it does not take stays in a mailbox that cannot grow (`mailbox.py`).
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from lhg_jax.live import pipe
from lhg_jax.live.mailbox import Mailbox
from lhg_jax.util.errors import UserError
from lhg_jax.util.workers import WORKER_ENVIRONMENT

COMMAND = (sys.executable, "-m", "lhg_jax.live.worker")
SILENT_S = 15.0  # a work process that has said nothing for so long hangs, and is killed
MOST_FAILURES = 3  # starts in a row that do not get ready
PAUSE_S = 0.5  # before it is started again


class WorkProcess:
    """Keeps one work process running.

    Attributes:
      setup: what each process starts with.
      ready: it has been compiled and warmed up.
      pid: of the process; None between two.
    """

    def __init__(
        self,
        setup: pipe.Setup,
        on_message: Callable[[Any], None],
        on_state: Callable[[], None],
        command: tuple[str, ...] = COMMAND,
    ):
        """Starts nothing yet.

        Args:
          setup: see above.
          on_message: is given what the process says, but for whether it is ready.
          on_state: is called when `ready` has changed.
          command: of the process.
        """
        self.setup, self.ready = setup, False
        self.pid: int | None = None
        self._on_message, self._on_state, self._command = on_message, on_state, command
        self._mailbox, self._waits = Mailbox(), asyncio.Event()
        self._heard_s = 0.0

    def send(self, message: Any) -> None:
        """Leaves a message for the process; while it is starting, there is nobody to read one."""
        if self.ready:
            self._mailbox.put(message)
            self._waits.set()

    async def run(self) -> None:
        """Keeps the process running until cancelled. Raises `UserError` where it cannot start."""
        failures = 0
        while failures < MOST_FAILURES:
            was_ready = await self._run_once()
            failures = 0 if was_ready else failures + 1
            await asyncio.sleep(PAUSE_S)
        raise UserError(f"live: the work process has ended {failures} times before it was ready")

    async def _run_once(self) -> bool:
        """From start to end of one process; whether it was ever ready."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | WORKER_ENVIRONMENT,
            start_new_session=True,  # Ctrl-C is for the server, which then ends this one
        )
        self.pid = process.pid
        tasks = [asyncio.create_task(job) for job in (self._write(process), self._read(process))]
        tasks.append(asyncio.create_task(self._watch()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if isinstance(task.exception(), UserError):
                    raise UserError(str(task.exception()))
            return self.ready
        finally:
            await self._end(process, tasks)

    async def _end(self, process: asyncio.subprocess.Process, tasks: list[asyncio.Task]) -> None:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.wait()
        self.pid = None
        self._mailbox.clear()
        self._set_ready(False)

    async def _write(self, process: asyncio.subprocess.Process) -> None:
        """Hands over what waits, as fast as it is taken."""
        assert process.stdin is not None
        process.stdin.write(pipe.pack(self.setup))
        while True:
            await process.stdin.drain()
            await self._waits.wait()
            self._waits.clear()
            for message in self._mailbox.take():
                process.stdin.write(pipe.pack(message))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Passes on what the process says. Raises `UserError` where it cannot start, EOFError at its end."""
        assert process.stdout is not None
        while True:
            message = await pipe.read_async(process.stdout)
            self._heard_s = time.monotonic()
            if isinstance(message, pipe.Failed):
                raise UserError(message.reason)
            if isinstance(message, pipe.Ready):
                self._set_ready(True)
            else:
                self._on_message(message)

    async def _watch(self) -> None:
        """Ends when the process has been silent for too long. Before it is ready it may take its time."""
        while not self.ready or time.monotonic() - self._heard_s < SILENT_S:
            await asyncio.sleep(1.0)

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._on_state()
