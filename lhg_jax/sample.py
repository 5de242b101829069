"""`python -m lhg_jax.sample`: a speaker and a portrait in, a video of that person listening out.

Without arguments it makes the built-in demo: out/demo.mp4 and out/demo_listener.mp4.
"""

import dataclasses
import os
from pathlib import Path
from typing import Literal

from lhg_jax.batch import read_batch
from lhg_jax.draw_options import DrawOptions
from lhg_jax.outputs import require_outputs, require_suffix
from lhg_jax.render import RENDERERS, crop_only, load_renderer
from lhg_jax.restore import RESTORERS, load_restorer
from lhg_jax.util.cli import Group, Maybe, parse
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import console, warn
from lhg_jax.util.registry import require_known


@dataclasses.dataclass(frozen=True)
class Options:
    """A speaker and a portrait in, a video of that person listening out; no arguments: the built-in demo."""

    speaker: Maybe[Path] = None
    """The speaker: a video, or sound alone."""
    listener: Maybe[Path] = None
    """The listener's portrait: an image with one face."""
    output: Maybe[Path] = None
    """The video to write (.mp4); its folder is made if need be."""
    audio: Maybe[Path] = None
    """Sound from another file than the speaker's video."""
    transcript: Maybe[Path] = None
    """What is said: .srt .vtt .json .TextGrid; without it the speech is recognised."""
    checkpoint: Maybe[Path] = None
    """Weights of the listener (.safetensors); the demo model of the package by default."""
    renderer: str = "mesh"
    """How the portrait is moved; `python -m lhg_jax.doctor` lists what there is."""
    renderer_weights: Maybe[Path] = None
    """Weights of a renderer that needs some (docs/weights.md)."""
    paste: Literal["full", "crop"] = "full"
    """Whether a renderer that draws a crop of the portrait pastes it back, or shows the crop."""
    tracker_weights: Maybe[Path] = None
    """Weights of the face tracker, where the renderer's space needs another than the default one."""
    restore: str = "none"
    """Restoration of the rendered frames."""
    restore_weights: Maybe[Path] = None
    """Weights of the restoration."""
    asr: Literal["pocketsphinx", "none"] = "pocketsphinx"
    """Speech recogniser, used where there is no transcript."""
    side_by_side: bool = False
    """Make OUTPUT the pair, speaker on the left; the listener alone goes beside it as NAME_listener.mp4."""
    save_motion: Maybe[Path] = None
    """Also write the rendered motion (.npz)."""
    motion: Maybe[Path] = None
    """Render this saved motion, or coefficients as --speaker-motion takes them, instead of imagining one."""
    speaker_motion: Maybe[Path] = None
    """Coefficients of the speaker's face from another program (.mat .npz) instead of tracking it."""
    exp_scale: float = 1.0
    """Factor on the expression's departure from the portrait's own."""
    pose_scale: float = 1.0
    """Factor on the head's departure from the portrait's pose."""
    smooth: float = 0.0
    """Extra smoothing along time: standard deviation in seconds."""
    face: Maybe[int] = None
    """Which face of the portrait, counted from the left from 0; the largest by default."""
    export_motion: Maybe[Path] = None
    """Also write the motion for animators (.csv): ARKit's 52 blendshapes and the head (docs/animation.md)."""
    batch: Maybe[Path] = None
    """A csv with columns speaker, listener, output (and audio, transcript); finished outputs are skipped."""
    draw: Group[DrawOptions] = dataclasses.field(default_factory=DrawOptions)


def main() -> None:
    """Parses the command line and makes what it asks for."""
    options = parse(Options, "python -m lhg_jax.sample", __doc__)
    check(options)
    use_compilation_cache()
    from lhg_jax.pipeline import Pipeline  # the stages take seconds to import: after the cheap errors
    from lhg_jax.request import Style

    renderer = load_renderer(options.renderer, options.renderer_weights)
    pipeline = Pipeline(
        checkpoint=options.checkpoint,
        renderer=crop_only(renderer) if options.paste == "crop" else renderer,
        restorer=load_restorer(options.restore, options.restore_weights),
        tracker_weights=options.tracker_weights,
        asr=options.asr,
        face=options.face,
        drawing=options.draw,
    )
    style = Style(options.exp_scale, options.pose_scale, options.smooth)
    seconds = make_all(pipeline, requests(options), style, keep_going=options.batch is not None)
    pipeline.times.print_table(seconds)


def check(options: Options) -> None:
    """Raises `UserError` for combinations of options that mean nothing."""
    alone = [options.speaker, options.audio, options.listener, options.motion]
    if options.batch and any(alone):
        raise UserError("--batch: takes its speakers and listeners from the csv, not from other options")
    if any(alone) and not options.listener:
        raise UserError("--listener: a portrait is needed")
    if options.listener and not (options.speaker or options.audio or options.motion):
        raise UserError("--speaker: a speaker is needed (or --audio, or --motion)")
    if options.speaker_motion and not (options.speaker or options.audio):
        raise UserError("--speaker-motion: the speaker's sound is needed too (--speaker or --audio)")
    if options.side_by_side and any(alone) and not options.speaker:
        raise UserError("--side-by-side: needs the speaker's video (--speaker)")
    options.draw.check()
    if options.motion and options.draw != DrawOptions():
        raise UserError(
            "--motion: a saved motion is rendered as it is; which listener is drawn has no effect"
        )
    require_known("renderer", options.renderer, RENDERERS)
    require_known("restoration", options.restore, RESTORERS)
    for name in ("exp_scale", "pose_scale", "smooth"):
        if getattr(options, name) < 0:
            raise UserError(f"--{name.replace('_', '-')}: {getattr(options, name)} is negative")


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, in the user's cache folder; JAX's own setting goes first."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    import jax

    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "lhg_jax" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def requests(options: Options) -> list:
    """The clips to make: one, those of a batch, or the demo."""
    from lhg_jax.demo import demo_request
    from lhg_jax.request import Request

    if options.batch:
        rows = read_batch(options.batch)
        if options.side_by_side and not all("speaker" in row for row in rows):
            raise UserError(f"{options.batch}: --side-by-side needs a speaker in every row")
        return [Request(**row | output_names(row["output"], options.side_by_side)) for row in rows]
    if not options.listener:
        demo = demo_request(options.output or Path("out/demo.mp4"))
        demo = dataclasses.replace(demo, export_motion=options.export_motion)
        return [dataclasses.replace(demo, save_motion=options.save_motion)]
    output = options.output or Path("out.mp4")
    names = ("speaker", "listener", "audio", "transcript", "speaker_motion", "motion", "save_motion")
    paths = {name: getattr(options, name) for name in (*names, "export_motion")}
    return [Request(**paths, **output_names(output, options.side_by_side))]


def output_names(output: Path, side_by_side: bool) -> dict[str, Path]:
    """A request's videos; of `--side-by-side` the pair has the name asked for, the listener one beside it."""
    if not side_by_side:
        return {"output": output}
    return {"side_by_side": output, "output": output.with_name(f"{output.stem}_listener{output.suffix}")}


def check_files(request) -> None:
    """Raises `UserError` before the slow stages for outputs that cannot be written or are inputs."""
    from lhg_jax.media import VIDEO_SUFFIXES

    videos = [path for path in (request.output, request.side_by_side) if path]
    for path in videos:
        require_suffix(path, VIDEO_SUFFIXES, "video")
    motions = [request.save_motion] if request.save_motion else []
    for path in motions:
        require_suffix(path, (".npz",), "motion")
    exports = [request.export_motion] if request.export_motion else []
    for path in exports:
        require_suffix(path, (".csv",), "motion for animators")
    names = ("speaker", "listener", "audio", "transcript", "speaker_motion", "motion")
    inputs = [getattr(request, name) for name in names]
    require_outputs(videos + motions + exports, [path for path in inputs if path])


def make_all(pipeline, todo: list, style, *, keep_going: bool) -> float:
    """Makes each clip; returns seconds made. In a batch a bad row is reported and the rest goes on."""
    seconds, failed = 0.0, 0
    for request in todo:
        numbered = request.numbered(pipeline.drawing.samples)
        finals = [one.side_by_side or one.output for one in numbered]
        final = finals[0]
        if keep_going and all(path.exists() for path in finals):
            console.print(f"{final}: exists, skipped", highlight=False, markup=False, soft_wrap=True)
            continue
        try:
            for one in numbered:
                check_files(one)
            seconds += pipeline.run(request, style)
            for path in finals:
                console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
        except Exception as error:
            if not keep_going:
                raise
            expected = isinstance(error, UserError)
            warn(
                str(error)
                if expected
                else f"{final}: {type(error).__name__}: {error} (alone, it tells where)"
            )
            failed += 1
    if failed:
        raise UserError(f"--batch: {failed} of {len(todo)} clips failed")
    return seconds


if __name__ == "__main__":
    run_cli(main)
