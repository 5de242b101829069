"""`python -m lhg_jax.predict --data SPLIT --output DIR`: a listener's motion for every clip of a split.

OUTPUT/NAME.npz is the motion. With --video, OUTPUT/NAME.listener.mp4 is drawn from it, and `evaluate` takes
the folder; --truth draws the true listeners in the same way, for data without videos (simulated dyads):

  python -m lhg_jax.predict --data out/vico/test --checkpoint DIR/listener.safetensors --output out/mine \
    --video --portraits ViCo/videos
  python -m lhg_jax.evaluate --predictions out/mine --references ViCo/videos --output out/scores
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from lhg_jax.draw_options import DrawOptions
from lhg_jax.faces.tracker_options import TrackerOptions
from lhg_jax.pipeline.edit import MotionEdit
from lhg_jax.util.cli import UNSET, Group, Maybe, parse, print_warnings
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import StageTimes, console, warn

if TYPE_CHECKING:
    from lhg_jax.pipeline.split import Job


@dataclasses.dataclass(frozen=True)
class Options:
    """Predicts every clip of a split; what is finished is not made again."""

    data: Path
    """The split: a folder that `prepare` wrote, or FOLDER/SPLIT where it holds several."""
    output: Path
    """Folder for NAME.npz and NAME.listener.mp4."""
    checkpoint: Maybe[Path] = None
    """Weights of the listener (.safetensors); the demo model of the package by default."""
    video: bool = False
    """Draw the motions, too."""
    truth: bool = False
    """Draw the true listeners, too, into OUTPUT/truth, as references for `evaluate`."""
    portraits: Maybe[Path] = None
    """An image for all clips, or a folder with NAME.png, NAME.jpg or NAME.listener.mp4 (its first frame) for
    each; by default the portrait of the demo."""
    sound: Maybe[Path] = None
    """A folder with NAME.wav or NAME.speaker.mp4, whose sound the videos get; by default they are silent."""
    renderer: str = "mesh"
    """How portraits are moved; `doctor` lists the names."""
    renderer_weights: Maybe[Path] = None
    """Weights of a renderer that needs some."""
    bridge: Maybe[Path] = None
    """Bridge from the listener's space to the renderer's, as `sample` takes it."""
    tracking: Group[TrackerOptions] = dataclasses.field(default_factory=TrackerOptions)
    edit: Group[MotionEdit] = dataclasses.field(default_factory=MotionEdit)
    draw: Group[DrawOptions] = dataclasses.field(default_factory=DrawOptions)
    runner: Maybe[str] = None
    """Make the clips on Apache Beam with this runner, e.g. DirectRunner; its workers must see the same
    paths."""
    runner_options: Annotated[tuple[str, ...], UNSET] = ()
    """Of the runner, as Beam spells them: `--runner-options=--direct_num_workers=4`."""


def predict(options: Options) -> int:
    """Makes what is missing; returns how many clips could not be made. Raises `UserError`."""
    from lhg_jax.pipeline import split
    from lhg_jax.pipeline.many import Settings
    from lhg_jax.util.beam import run_on_beam

    if options.truth and not options.video:
        raise UserError("--truth: draws videos (--video)")
    options.draw.check()
    if options.draw.samples != 1:
        raise UserError("--samples: a clip has one prediction here (run it with another --seed and --output)")
    settings = Settings(
        checkpoint=options.checkpoint,
        renderer=options.renderer,
        renderer_weights=options.renderer_weights,
        bridge=options.bridge,
        tracker=options.tracking.tracker,
        tracker_weights=options.tracking.tracker_weights,
    )
    jobs = split.plan(
        options.data, options.output, video=options.video, truth=options.truth,
        portraits=options.portraits, sound=options.sound,
    )  # fmt: skip
    make = functools.partial(split.make_safely, settings, options.edit, options.draw)
    if options.runner:
        run_on_beam(make, jobs, options.runner, options.runner_options)
    else:
        settings.open()  # what does not fit is an error before the first clip
        times = StageTimes()
        with times.stage("clips", len(jobs)) as advance:
            for job in jobs:
                make(job)
                advance()
    return report(jobs, options.output)


def report(jobs: list["Job"], output: Path) -> int:
    """Prints what could not be made, and where the rest is; returns how many failed."""
    from lhg_jax.pipeline import split

    failed = list(split.failures(jobs))
    for name, why in failed:
        warn(f"{name}: {why}")
    made = len(jobs) - len(failed)
    console.print(
        f"wrote {output} ({made} clip{'s' * (made != 1)})", highlight=False, markup=False, soft_wrap=True
    )
    return len(failed)


def main() -> None:
    """Parses the command line and predicts."""
    options = parse(Options, "python -m lhg_jax.predict", __doc__)
    print_warnings()
    if failed := predict(options):
        raise UserError(f"--data {options.data}: {failed} clips could not be made")


if __name__ == "__main__":
    run_cli(main)
