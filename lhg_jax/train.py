"""`python -m lhg_jax.train --config demo --workdir out/demo [--config.train.steps=100]`."""

import json
import signal
import sys

from lhg_jax.train_help import first_look
from lhg_jax.util.compilation_cache import use_compilation_cache
from lhg_jax.util.errors import UserError, run_cli, writing


def main() -> None:
    """Trains, or continues what a signal or a crash interrupted."""
    first_look(sys.argv[1:])
    from lhg_jax.train_command import parse_command_line  # JAX takes seconds to import: after help and typos

    command = parse_command_line()
    use_compilation_cache()
    from lhg_jax.models.flow_head import FlowHeadConfig
    from lhg_jax.sample_clips import draw_frames
    from lhg_jax.training.distributed import connect
    from lhg_jax.training.head_stage import train_head
    from lhg_jax.training.loop import evaluate_saved, report, train  # after the cheap errors

    connect(command.processes)
    is_head = isinstance(command.config.model, FlowHeadConfig)
    if command.evaluate_only:
        if is_head:
            raise UserError("--evaluate-only: not for a flow head")
        step, scores = evaluate_saved(command.config, command.workdir)
        print(json.dumps({"step": step, **scores}, indent=1))
        return
    with writing(command.workdir):
        summary = (train_head if is_head else train)(command.config, command.workdir, draw_frames)
    report(summary, command.workdir)
    if not summary.finished:
        sys.exit(128 + (summary.signal or signal.SIGTERM))  # as of a process that the signal ended


if __name__ == "__main__":
    run_cli(main)
