"""Recorded calls: two people side by side in one picture, or a file for each, and a track of sound for each.

Who speaks when is heard (`voice_activity`), and the recording is cut into passages in which one speaks and
the other listens.
"""

from collections.abc import Iterator
from pathlib import Path

from lhg_jax.media import WHOLE, Part
from lhg_jax.preparation.call_sound import SIDES, Call, Heard, hear_calls
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.excerpts import Excerpt, ExcerptListing, View
from lhg_jax.preparation.turns import is_listening, others_heard, passages
from lhg_jax.util.errors import UserError
from lhg_jax.util.names import stem
from lhg_jax.util.suffixes import SOUND_FILES, VIDEO_FILES

HALVES = {"left": Part(0.0, 0.0, 0.5, 1.0), "right": Part(0.5, 0.0, 1.0, 1.0)}


def read_calls(root: Path, split: str, cache: Path, workers: int) -> ExcerptListing:
    """The passages of the recordings of a folder, by name.

    NAME.mp4 shows both people, each in its half, and has stereo sound with a person on each channel; or
    NAME.left.mp4 and NAME.right.mp4 show one each. NAME.left.wav and NAME.right.wav are the sound of each.
    All files of a name start at the same moment. The sound of those that are not in `cache` is listened to.

    Args:
      root: the folder; subfolders are not looked at.
      split: that all clips belong to.
      cache: folder for what is heard in each recording.
      workers: processes.

    Raises:
      UserError: no such folder, or no recording in it.
      MissingExtraError: without the voice activity detector.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    videos, sounds = (
        {stem(path): path for path in sorted(root.iterdir()) if path.suffix.lower() in suffixes}
        for suffixes in (VIDEO_FILES, SOUND_FILES)
    )
    names = sorted({name.removesuffix(".left").removesuffix(".right") for name in videos})
    if not names:
        raise UserError(f"{root}: holds no video of a call (NAME.mp4, or NAME.left.mp4 and NAME.right.mp4)")
    listing, calls = ExcerptListing([], []), []
    for name in names:
        try:
            calls.append(_call(name, videos, sounds))
        except UserError as error:
            listing.left_out.append(LeftOut(name, str(error)))
    for call, heard in zip(calls, hear_calls(calls, cache, workers), strict=True):
        found = [] if heard.reason else list(_excerpts(call, heard, split))
        listing.excerpts.extend(found)
        if not found:
            reason = heard.reason or "nobody speaks for 8 s while the other listens"
            listing.left_out.append(LeftOut(call.name, reason))
    return listing


def _call(name: str, videos: dict[str, Path], sounds: dict[str, Path]) -> Call:
    """Raises `UserError` where a side's video or sound is missing."""
    own = {side: videos[f"{name}.{side}"] for side in SIDES if f"{name}.{side}" in videos}
    if len(own) == 1:
        missing = next(side for side in SIDES if side not in own)
        raise UserError(f"{name}.{missing}.mp4 is missing")
    heard = {side: sounds[f"{name}.{side}"] for side in SIDES if f"{name}.{side}" in sounds}
    if len(heard) == 1:
        missing = next(side for side in SIDES if side not in heard)
        raise UserError(f"{name}.{missing}.wav is missing")
    if own:
        views = {side: View(own[side], WHOLE) for side in SIDES}
    else:
        views = {side: View(videos[name], HALVES[side]) for side in SIDES}
    if heard or own:
        return Call(name, views, heard or own, dict.fromkeys(SIDES))
    both = sounds.get(name, videos[name])
    return Call(name, views, dict.fromkeys(SIDES, both), {"left": 0, "right": 1})


def _excerpts(call: Call, heard: Heard, split: str) -> Iterator[Excerpt]:
    voices = dict(zip(SIDES, heard.spans, strict=True))
    for speaker, span in passages(voices, heard.seconds):
        listener = next(side for side in SIDES if side != speaker)
        others = others_heard(voices, speaker, span)
        if is_listening(others, span):
            yield Excerpt(
                uuid=f"{call.name}-{speaker}-{round(span.start_s * 1000):07d}",
                split=split,
                video_id=call.name,
                speaker_id=f"{call.name}.{speaker}",
                listener_id=f"{call.name}.{listener}",
                span=span,
                speaker=call.views[speaker],
                listener=call.views[listener],
                sound=call.sounds[speaker],
                channel=call.channels[speaker],
                others=tuple(others),
            )
