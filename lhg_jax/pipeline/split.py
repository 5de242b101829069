"""A whole split of prepared clips: one job for each, which leaves a motion and, if asked for, videos."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lhg_jax import media
from lhg_jax.contract import Example
from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.draw_options import DrawOptions
from lhg_jax.features import pad_features
from lhg_jax.motion import Motion, save_motion
from lhg_jax.outputs import is_same_file
from lhg_jax.pipeline.core import Pipeline
from lhg_jax.pipeline.edit import MotionEdit
from lhg_jax.pipeline.many import Settings, open_once, reason
from lhg_jax.pipeline.timeline import Timeline
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError
from lhg_jax.util.names import composed, stem
from lhg_jax.util.suffixes import PICTURE_FILES, SOUND_FILES, VIDEO_FILES

PORTRAITS = (*PICTURE_FILES, *(f".listener{suffix}" for suffix in VIDEO_FILES))
SOUNDS = (*SOUND_FILES, *(f".speaker{suffix}" for suffix in VIDEO_FILES))


@dataclasses.dataclass(frozen=True)
class Job:
    """One clip of a split.

    Attributes:
      data, index: the split's folder, and the clip's place in it.
      name: of the clip.
      folder: for what is made.
      video, truth: whether the prediction and the true listener are drawn.
      portrait: whom; None for the demo's portrait.
      sound: of the videos.
    """

    data: Path
    index: int
    name: str
    folder: Path
    video: bool
    truth: bool
    portrait: Path | None
    sound: Path | None

    @property
    def outputs(self) -> dict[str, Path]:
        """What is made, by kind."""
        found = {"motion": self.folder / f"{self.name}.npz"}
        if self.video:
            found["video"] = self.folder / f"{self.name}.listener.mp4"
        if self.truth:
            found["truth"] = self.folder / "truth" / f"{self.name}.listener.mp4"
        return found

    @property
    def is_done(self) -> bool:
        """Whether all of it is there."""
        return all(path.exists() for path in self.outputs.values())

    @property
    def failure(self) -> Path:
        """File that says why something is not."""
        return self.folder / f".{self.name}.reason"


def plan(
    data: Path, output: Path, *, video: bool, truth: bool, portraits: Path | None, sound: Path | None
) -> list[Job]:
    """A job for each clip. Raises `UserError` for a split that is not there, or files that are not."""
    source = open_source(data)
    for folder in (portraits, sound):
        if folder is not None and not folder.exists():
            raise UserError(f"{folder}: no such file or folder")
    find_portrait, find_sound = _finder(portraits, PORTRAITS), _finder(sound, SOUNDS)
    jobs = [
        Job(
            data=data,
            index=index,
            name=name,
            folder=output,
            video=video,
            truth=truth,
            portrait=find_portrait(name) if video else None,
            sound=find_sound(name) if video else None,
        )
        for index, name in enumerate(source.metadata.uuids)
    ]
    for job in jobs:
        for path, given in itertools.product(job.outputs.values(), filter(None, (job.portrait, job.sound))):
            if is_same_file(path, given):
                raise UserError(
                    f"{path}: is one of the inputs, which would be lost (choose another --output)"
                )
    return jobs


def _finder(place: Path | None, endings: tuple[str, ...]) -> Callable[[str], Path | None]:
    """Finds a clip's own file in a folder; a file is everybody's. Raises `UserError` where there is none.

    Endings may be written in capital letters, and letters in several pieces (`util.names`).
    """
    if place is None or place.is_file():
        return lambda name: place
    paths = (path for path in sorted(place.iterdir()) if path.is_file())
    files = {stem(path) + path.suffix.lower(): path for path in paths}

    def find(name: str) -> Path:
        found = (files.get(composed(name + ending)) for ending in endings)
        if (path := next(filter(None, found), None)) is None:
            raise UserError(f"{place}: has no file for the clip {name} ({name}{endings[0]} or the like)")
        return path

    return find


def make_safely(settings: Settings, edit: MotionEdit, drawing: DrawOptions, job: Job) -> None:
    """Makes what is missing of a clip, in a worker; where it cannot be made, the file with the reason."""
    job.failure.unlink(missing_ok=True)
    if job.is_done:
        return
    try:
        make(open_once(settings), _open(job.data), edit, drawing, job)
    except Exception as error:  # one odd clip must not end the others
        with replacing(job.failure) as temporary:
            temporary.write_text(reason(error), encoding="utf-8")


@functools.lru_cache(maxsize=1)
def _open(data: Path) -> RecordSource:
    return open_source(data)


def make(pipeline: Pipeline, source: RecordSource, edit: MotionEdit, drawing: DrawOptions, job: Job) -> None:
    """Predicts a clip from its prepared features and first frame, and draws it."""
    pipeline.model.require_features(str(job.data), source.features, "prepare the data as it was trained")
    example: Example = source[job.index]
    features = pad_features(example.features, example.features.frames, len(example.features.word_table))
    first_frame = np.asarray(example.listener_motion[0], np.float32)
    [values] = pipeline.model.draw(features, first_frame, drawing.draw(pipeline.model))
    motion = edit.apply(Motion(source.space, values), first_frame)
    save_motion(job.outputs["motion"], motion)
    if job.video:
        draw(pipeline, motion, job, job.outputs["video"])
    if job.truth:
        truth = Motion(source.space, np.asarray(example.listener_motion, np.float32))
        draw(pipeline, truth, job, job.outputs["truth"])


def draw(pipeline: Pipeline, motion: Motion, job: Job, path: Path) -> None:
    """Draws a motion on the clip's portrait: what the portrait itself shows is the motion's first frame."""
    portrait = job.portrait if job.portrait is not None else _demo_portrait()
    timeline = _timeline(job.portrait, len(motion))
    pipeline.render(motion, portrait, sound=job.sound, timeline=timeline, from_portrait=True).save(path)


def _timeline(portrait: Path | None, frames: int) -> Timeline | None:
    """The time stamps of the listener's own video, which the drawn one is to be compared with frame by frame.

    None for a picture, and for a video of another length than that many frames at 30/s.
    """
    if portrait is None or portrait.suffix.lower() not in VIDEO_FILES:
        return None
    timeline = Timeline(media.frame_times(portrait), media.probe(portrait).video_end_s)
    return timeline if timeline.model_frames == frames else None


def _demo_portrait() -> np.ndarray:
    from lhg_jax.demo import portrait

    return portrait()


def failures(jobs: list[Job]) -> Iterator[tuple[str, str]]:
    """(clip, why) of those that are not done; the files with the reasons are removed."""
    for job in jobs:
        if not job.is_done:
            why = job.failure.read_text(encoding="utf-8") if job.failure.exists() else "not made"
            yield job.name, why
        job.failure.unlink(missing_ok=True)
