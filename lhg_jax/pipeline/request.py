"""What a command is asked for: one clip, by the names of its files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from lhg_jax.draw_options import DrawOptions
from lhg_jax.live_link import write_live_link
from lhg_jax.media import VIDEO_SUFFIXES
from lhg_jax.motion import save_motion
from lhg_jax.outputs import require_outputs, require_suffix, require_unread
from lhg_jax.pipeline.core import Pipeline
from lhg_jax.pipeline.edit import MotionEdit
from lhg_jax.pipeline.listening import Listening

INPUTS = ("speaker", "listener", "audio", "transcript", "speaker_motion", "motion")


@dataclasses.dataclass(frozen=True)
class Request:
    """One clip to make.

    Attributes:
      listener: portrait, an image (or a video, whose first frame is taken).
      output: the listener's video.
      speaker: video, or sound alone.
      audio: sound that replaces the speaker's own.
      transcript: .srt .vtt .json .TextGrid; without it the speech is recognised.
      speaker_motion: coefficients of the speaker's face that another program measured, .mat or .npz.
      motion: a saved motion (or such coefficients) to draw instead of predicting one.
      save_motion: where the drawn motion goes, .npz.
      export_motion: where the motion goes as blendshapes, .csv.
      side_by_side: a second video with the speaker on the left.
      preview: so many single frames instead of videos, as pictures beside `output`; 0 for none.
    """

    listener: Path
    output: Path
    speaker: Path | None = None
    audio: Path | None = None
    transcript: Path | None = None
    speaker_motion: Path | None = None
    motion: Path | None = None
    save_motion: Path | None = None
    export_motion: Path | None = None
    side_by_side: Path | None = None
    preview: int = 0

    @property
    def final(self) -> Path:
        """The video that was asked for."""
        return self.side_by_side or self.output

    @property
    def drawn(self) -> list[Path]:
        """Videos or pictures that are there when the clip is made."""
        name = self.output.stem
        pictures = [self.output.with_name(f"{name}_frame{i}.png") for i in range(1, self.preview + 1)]
        return pictures or [self.final]

    def named(self, names: Sequence[str] = INPUTS) -> list[Path]:
        """The inputs of these names that there are."""
        return [path for name in names if (path := getattr(self, name)) is not None]

    def numbered(self, samples: int) -> "list[Request]":
        """A request for each listener, with files NAME_1, NAME_2 ...; a single one stays as it is."""
        if samples == 1:
            return [self]
        names = ("output", "save_motion", "export_motion", "side_by_side")
        paths = {name: getattr(self, name) for name in names if getattr(self, name)}
        return [
            dataclasses.replace(self, **{n: p.with_stem(f"{p.stem}_{number}") for n, p in paths.items()})
            for number in range(1, samples + 1)
        ]


def make(pipeline: Pipeline, request: Request, edit: MotionEdit, drawing: DrawOptions) -> float:
    """Makes one clip's files; returns its length (s). Raises `UserError` for input that cannot be used."""
    numbered = request.numbered(drawing.samples)
    for one in numbered:
        check_files(one)
    listeners = listen(pipeline, request, edit, drawing)
    for one, listening in zip(numbered, listeners, strict=True):
        motion, timeline = listening.motion, listening.timeline
        if one.save_motion:
            save_motion(one.save_motion, motion)
        if one.export_motion:
            write_live_link(one.export_motion, motion, timeline.starts_s, timeline.end_s)
        if one.preview:
            listening.preview(one.drawn)
        else:
            listening.save(one.output, one.side_by_side)
    return listeners[0].timeline.end_s


def listen(pipeline: Pipeline, request: Request, edit: MotionEdit, drawing: DrawOptions) -> list[Listening]:
    """The listeners that are asked for, not drawn yet."""
    if request.motion:
        return [
            pipeline.render(
                request.motion, request.listener, speaker=request.speaker, audio=request.audio, edit=edit
            )
        ]
    return pipeline.listeners(
        request.speaker,
        request.listener,
        audio=request.audio,
        transcript=request.transcript,
        speaker_motion=request.speaker_motion,
        drawing=drawing,
        edit=edit,
    )


def check_files(request: Request) -> None:
    """Raises `UserError` before the slow stages for outputs that cannot be written or are inputs."""
    videos = [] if request.preview else [path for path in (request.output, request.side_by_side) if path]
    for path in videos:
        require_suffix(path, VIDEO_SUFFIXES, "video")
    drawn = videos or request.drawn
    motions = [request.save_motion] if request.save_motion else []
    for path in motions:
        require_suffix(path, (".npz",), "motion")
    exports = [request.export_motion] if request.export_motion else []
    for path in exports:
        require_suffix(path, (".csv",), "motion for animators")
    require_outputs(drawn + motions + exports, request.named())


def check_rows(requests: Sequence[Request], samples: int) -> None:
    """Raises `UserError` where a row of a batch would overwrite a file that another row reads.

    The video that a row is for is not made again where it exists; what it leaves beside that is. A motion
    that one row saves may be what another draws.
    """
    made = [one for request in requests for one in request.numbered(samples)]
    alone = [one.output for one in made if one.side_by_side]
    motions = [one.save_motion for one in made if one.save_motion]
    for outputs, names in ((alone, INPUTS), (motions, INPUTS[:-1])):
        require_unread(outputs, [path for request in requests for path in request.named(names)])
