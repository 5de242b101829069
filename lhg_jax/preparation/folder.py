"""Anyone's own dyads: a folder of NAME.speaker.mp4 and NAME.listener.mp4."""

from pathlib import Path

from lhg_jax.preparation.clip_files import (
    COEFFICIENT_SUFFIXES,
    TRANSCRIPT_SUFFIXES,
    ClipFiles,
    LeftOut,
    Listing,
    index_files,
)
from lhg_jax.util.errors import UserError
from lhg_jax.util.names import stem
from lhg_jax.util.suffixes import SOUND_FILES, VIDEO_FILES

SPEAKER, LISTENER = ".speaker", ".listener"


def read_folder(root: Path, split: str, coefficients: Path | None) -> Listing:
    """The conversations of a folder, by name.

    NAME.wav (or .flac, .m4a, .mp3) is the speaker's sound, else that of NAME.speaker.mp4; NAME.srt (or .vtt,
    .json, .TextGrid) is what is said, else it is recognised.

    Args:
      root: the folder; subfolders are not looked at.
      split: that all clips belong to.
      coefficients: folder with NAME.speaker.npz (or .mat) and the like; None: nothing is precomputed.

    Raises:
      UserError: no such folder, or no speaker in it.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    videos = _by_stem(root, VIDEO_FILES)
    _require_one_of_each(root, videos)
    names = sorted(
        {stem.removesuffix(end) for stem in videos for end in (SPEAKER, LISTENER) if stem.endswith(end)}
    )
    if not names:
        raise UserError(f"{root}: holds no NAME.speaker.mp4 and NAME.listener.mp4")
    sounds, transcripts = _by_stem(root, SOUND_FILES), _by_stem(root, TRANSCRIPT_SUFFIXES)
    motions = index_files(coefficients, COEFFICIENT_SUFFIXES)
    clips, left_out = [], []
    for name in names:
        missing = [end for end in (SPEAKER, LISTENER) if name + end not in videos]
        if missing:
            left_out.append(LeftOut(name, f"{name}{missing[0]}.mp4 is missing"))
            continue
        clips.append(
            ClipFiles(
                uuid=name,
                split=split,
                speaker=videos[name + SPEAKER],
                listener=videos[name + LISTENER],
                sound=sounds.get(name),
                speaker_coefficients=motions.get(name + SPEAKER),
                listener_coefficients=motions.get(name + LISTENER),
                transcript=transcripts.get(name),
            )
        )
    return Listing(clips, left_out)


def _by_stem(root: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    wanted = {suffix.lower() for suffix in suffixes}
    return {stem(path): path for path in sorted(root.iterdir()) if path.suffix.lower() in wanted}


def _require_one_of_each(root: Path, videos: dict[str, Path]) -> None:
    """Raises `UserError` where two videos have one name, so that neither is taken by chance."""
    for path in sorted(root.iterdir()):
        other = videos.get(stem(path), path)
        if path.suffix.lower() in VIDEO_FILES and path != other:
            raise UserError(f"{root}: {path.name} and {other.name} are two videos of one name")
