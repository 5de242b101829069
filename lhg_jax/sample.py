"""`python -m lhg_jax.sample`: a speaker and a portrait in, a video of that person listening out.

Without arguments it makes the built-in demo: out/demo.mp4 and out/demo_listener.mp4.
"""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lhg_jax.batch import read_batch
from lhg_jax.draw_options import DrawOptions
from lhg_jax.faces.tracker_options import TrackerOptions
from lhg_jax.pipeline.edit import MotionEdit
from lhg_jax.render import RENDERERS
from lhg_jax.restore import RESTORERS
from lhg_jax.speech.word_options import WordOptions
from lhg_jax.util.cli import UNSET, Group, Maybe, parse, print_warnings
from lhg_jax.util.compilation_cache import use_compilation_cache
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import StageTimes, console, warn
from lhg_jax.util.registry import require_known

if TYPE_CHECKING:
    from lhg_jax.pipeline.core import Pipeline
    from lhg_jax.pipeline.many import Settings
    from lhg_jax.pipeline.request import Request

SMALLEST_SIZE = 64  # of --size, pixels: no face can be found in less


@dataclasses.dataclass(frozen=True)
class Options:
    """A speaker and a portrait in, a video of that person listening out; no arguments: the built-in demo."""

    speaker: Maybe[Path] = None
    """The speaker: a video, or sound alone."""
    listener: Maybe[Path] = None
    """The listener's portrait: an image with one face."""
    output: Maybe[Path] = None
    """The video to write (.mp4), in a folder that is made if need be. By default out.mp4, for the demo
    out/demo.mp4. Sound is the speaker's: --motion without one gives a silent film."""
    audio: Maybe[Path] = None
    """Sound from another file than the speaker's video."""
    transcript: Maybe[Path] = None
    """What is said: .srt .vtt .json .TextGrid; without it the speech is recognised."""
    checkpoint: Maybe[Path] = None
    """Weights of the listener (.safetensors); the demo model of the package by default."""
    renderer: str = "mesh"
    """How the portrait is moved: mesh, or one with weights of its own; `doctor` lists them."""
    renderer_weights: Maybe[Path] = None
    """Weights of a renderer that needs some (docs/weights.md)."""
    renderer_fps: Maybe[float] = None
    """Draw so many frames a second at most, and make the frames between them by optical flow: for renderers
    that take seconds a frame."""
    bridge: Maybe[Path] = None
    """Bridge from the listener's space to the renderer's (.safetensors; `python -m lhg_jax.fit_bridge` makes
    one), where the package has none or a better one is at hand."""
    paste: Literal["full", "crop"] = "full"
    """Whether a renderer that draws a crop of the portrait pastes it back, or shows the crop."""
    tracking: Group[TrackerOptions] = dataclasses.field(default_factory=TrackerOptions)
    restore: str = "none"
    """Restoration of the rendered frames: none, or rvrt."""
    restore_weights: Maybe[Path] = None
    """Weights of the restoration."""
    words: Group[WordOptions] = dataclasses.field(default_factory=WordOptions)
    face: Maybe[int] = None
    """Which face of the portrait, counted from the left from 0; the largest by default."""
    size: int = 1920
    """Longest side of the listener's video, in pixels; a smaller portrait keeps its own size."""
    preview: int = 0
    """Instead of a video, so many single frames from all over the clip, as pictures NAME_frame1.png ...
    beside OUTPUT: a look at a renderer that takes seconds a frame."""
    side_by_side: bool = False
    """Make OUTPUT the pair, speaker on the left; the listener alone goes beside it as NAME_listener.mp4."""
    motion: Maybe[Path] = None
    """Draw this saved motion, or coefficients as --speaker-motion takes them, instead of predicting one."""
    save_motion: Maybe[Path] = None
    """Also write the motion (.npz; docs/data.md says what is in it)."""
    speaker_motion: Maybe[Path] = None
    """Coefficients of the speaker's face from another program (.mat .npz) instead of tracking it."""
    export_motion: Maybe[Path] = None
    """Also write the motion for animators (.csv): ARKit's 52 blendshapes and the head (docs/animation.md)."""
    edit: Group[MotionEdit] = dataclasses.field(default_factory=MotionEdit)
    draw: Group[DrawOptions] = dataclasses.field(default_factory=DrawOptions)
    batch: Maybe[Path] = None
    """A csv with columns speaker, listener, output (and audio, transcript, motion, speaker_motion,
    save_motion); finished outputs are skipped."""
    runner: Maybe[str] = None
    """Make the rows of --batch on Apache Beam with this runner, e.g. DirectRunner; its workers must see the
    same paths."""
    runner_options: Annotated[tuple[str, ...], UNSET] = ()
    """Of the runner, as Beam spells them: `--runner-options=--direct_num_workers=4`."""


def main() -> None:
    """Parses the command line and makes what it asks for."""
    options = parse(Options, "python -m lhg_jax.sample", __doc__)
    check(options)
    use_compilation_cache()
    print_warnings()
    from lhg_jax.pipeline.many import Settings  # the stages take seconds to import: after the cheap errors

    given = vars(options) | vars(options.tracking) | vars(options.words)
    settings = Settings(**{field.name: given[field.name] for field in dataclasses.fields(Settings)})
    todo = requests(options)
    if options.runner:
        make_on_runner(settings, todo, options)
        return
    times = StageTimes()
    pipeline = settings.open(stages=times)
    if options.checkpoint and not options.motion:
        say(f"listener: {options.checkpoint}, trained for {pipeline.model.training or 'an unknown time'}")
    times.print_table(make_all(pipeline, todo, options))


def check(options: Options) -> None:
    """Raises `UserError` for combinations of options that mean nothing."""
    alone = [options.speaker, options.audio, options.listener, options.motion]
    if options.batch and any(alone):
        raise UserError("--batch: takes its speakers and listeners from the csv, not from other options")
    if options.runner and not options.batch:
        raise UserError("--runner: makes the rows of a --batch; there is none")
    if any(alone) and not options.listener:
        raise UserError("--listener: a portrait is needed")
    if options.listener and not (options.speaker or options.audio or options.motion):
        raise UserError("--speaker: a speaker is needed (or --audio, or --motion)")
    if options.speaker_motion and not (options.speaker or options.audio):
        raise UserError("--speaker-motion: the speaker's sound is needed too (--speaker or --audio)")
    if options.side_by_side and any(alone) and not options.speaker:
        raise UserError("--side-by-side: needs the speaker's video (--speaker)")
    if options.preview < 0:
        raise UserError(f"--preview: {options.preview} frames")
    if options.preview and options.side_by_side:
        raise UserError("--preview: draws the listener alone, without --side-by-side")
    if options.preview and options.restore != "none":
        raise UserError("--preview: single frames have no neighbours, which --restore looks at")
    if options.size < SMALLEST_SIZE:
        raise UserError(f"--size: {options.size} is less than {SMALLEST_SIZE} pixels")
    options.draw.check()
    options.words.check()
    if options.motion and options.draw != DrawOptions():
        raise UserError(
            "--motion: a saved motion is rendered as it is; which listener is drawn has no effect"
        )
    require_known("renderer", options.renderer, RENDERERS)
    require_known("restoration", options.restore, RESTORERS)


def requests(options: Options) -> list["Request"]:
    """The clips to make: one, those of a batch, or the demo."""
    from lhg_jax.demo import demo_request
    from lhg_jax.pipeline.request import Request, check_rows

    if options.batch:
        rows = read_batch(options.batch)
        if options.side_by_side and not all("speaker" in row for row in rows):
            raise UserError(f"{options.batch}: --side-by-side needs a speaker in every row")
        outputs = [output_names(row["output"], options.side_by_side) for row in rows]
        todo = [Request(**row | own, preview=options.preview) for row, own in zip(rows, outputs, strict=True)]
        check_rows(todo, options.draw.samples)
        return todo
    motions: dict[str, Any] = {"save_motion": options.save_motion, "export_motion": options.export_motion}
    if not options.listener:
        demo = dataclasses.replace(demo_request(options.output or Path("out/demo.mp4")), **motions)
        return [
            dataclasses.replace(demo, side_by_side=None, preview=options.preview) if options.preview else demo
        ]
    names = ("speaker", "listener", "audio", "transcript", "speaker_motion", "motion")
    inputs: dict[str, Any] = {name: getattr(options, name) for name in names}
    output = output_names(options.output or Path("out.mp4"), options.side_by_side)
    return [Request(**inputs, **output, **motions, preview=options.preview)]


def output_names(output: Path, side_by_side: bool) -> dict[str, Path]:
    """A request's videos; of `--side-by-side` the pair has the name asked for, the listener one beside it."""
    if not side_by_side:
        return {"output": output}
    return {"side_by_side": output, "output": output.with_name(f"{output.stem}_listener{output.suffix}")}


def make_all(pipeline: "Pipeline", todo: list["Request"], options: Options) -> float:
    """Makes each clip; returns seconds made. In a batch a bad row is reported and the rest goes on."""
    from lhg_jax.pipeline.many import reason
    from lhg_jax.pipeline.request import make

    seconds, failed, is_batch = 0.0, 0, options.batch is not None
    for number, request in enumerate(todo, start=1):
        finals = [path for one in request.numbered(options.draw.samples) for path in one.drawn]
        title = f"[{number}/{len(todo)}] {request.final}"
        if is_batch and all(path.exists() for path in finals):
            say(f"{title}: exists, skipped")
            continue
        if is_batch:
            say(title)
        try:
            seconds += make(pipeline, request, options.edit, options.draw)
            for path in finals:
                say(f"wrote {path}")
        except Exception as error:
            if not is_batch:
                raise
            warn(f"{title}: {reason(error)}")
            failed += 1
    if failed:
        raise UserError(f"--batch: {failed} of {len(todo)} clips failed")
    return seconds


def make_on_runner(settings: "Settings", todo: list["Request"], options: Options) -> None:
    """Makes the rows of a batch on Apache Beam. Raises `UserError` where some failed."""
    from lhg_jax.pipeline.many import make_on_beam, make_row

    make = functools.partial(make_row, settings, options.edit, options.draw)
    failed = make_on_beam(make, todo, options.draw.samples, options.runner or "", options.runner_options)
    for request, why in failed:
        warn(f"{request.final}: {why}")
    if failed:
        raise UserError(f"--batch: {len(failed)} of {len(todo)} clips failed")
    say(f"wrote {len(todo)} clips")


def say(line: str) -> None:
    """Prints a line as it is."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
