"""`python -m lhg_jax.train --config configs/demo.py --workdir out/demo [--config.train.steps=100]`."""

import sys

from lhg_jax.config import parse_command_line
from lhg_jax.models.flow_head import FlowHeadConfig
from lhg_jax.util.errors import run_cli

TERMINATED = 128 + 15  # exit code of a process ended by SIGTERM, which schedulers know


def main() -> None:
    """Trains, or continues what SIGTERM or a crash interrupted."""
    command = parse_command_line()
    from lhg_jax.training.distributed import connect
    from lhg_jax.training.head_stage import train_head
    from lhg_jax.training.loop import report, train  # after the cheap errors

    connect(command.processes)
    is_head = isinstance(command.config.model, FlowHeadConfig)
    summary = (train_head if is_head else train)(command.config, command.workdir)
    report(summary, command.workdir)
    if not summary.finished:
        sys.exit(TERMINATED)


if __name__ == "__main__":
    run_cli(main)
