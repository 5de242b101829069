"""Apache Beam: one function for each item, on one of its runners."""

from collections.abc import Callable, Sequence
from typing import Any

from lhg_jax.util.errors import MissingExtraError, UserError


def run_on_beam(
    function: Callable[[Any], Any], items: Sequence[Any], runner: str, options: Sequence[str]
) -> None:
    """Calls a function for every item; it leaves its results on a disk that all workers share.

    Args:
      function: of one item; it can be pickled.
      items: pickled to the workers.
      runner: Beam's name of a runner, e.g. DirectRunner, FlinkRunner, SparkRunner, DataflowRunner.
      options: of the runner, e.g. `--direct_num_workers=4`.

    Raises:
      MissingExtraError: without apache-beam.
      UserError: there is no such runner.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions, TypeOptions
    except ImportError as error:
        raise MissingExtraError("--runner", "beam") from error
    settings = PipelineOptions(list(options))
    settings.view_as(TypeOptions).pipeline_type_check = False  # it cannot compare protocols
    try:
        pipeline = beam.Pipeline(runner=runner, options=settings)
    except ValueError as error:
        raise UserError(f"--runner {runner}: {str(error).splitlines()[0]}") from error
    with pipeline:
        spread = pipeline | "Items" >> beam.Create(items) | "Spread" >> beam.Reshuffle()
        _ = spread | "Run" >> beam.Map(function)
