"""Seamless Interaction (Meta 2025): two people face to face, each with a video and a microphone.

Passages in which one speaks are clips with the other as listener, in both directions. Who speaks when, and
the words, are the corpus's own.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lhg_jax.media import FileSlice
from lhg_jax.preparation.clip_files import LeftOut
from lhg_jax.preparation.excerpts import Excerpt, ExcerptListing, View, words_of
from lhg_jax.preparation.seamless_files import (
    LABELS,
    NEEDED,
    File,
    Interaction,
    Share,
    list_interactions,
)
from lhg_jax.preparation.turns import Span, is_listening, joined, others_heard, passages
from lhg_jax.speech.cues import Word
from lhg_jax.util.errors import UserError

MAX_BYTES = 1 << 26  # of a participant's annotations; those of an hour are a few MB
WORD_PAUSE_S = 0.5  # pauses between words that are bridged where words stand in for voice activity


class Annotation(NamedTuple):
    """What one participant says, and when they speak."""

    words: tuple[Word, ...]
    voice: list[Span]


def read_seamless(root: Path, share: Share) -> ExcerptListing:
    """The passages of the interactions of a process's share, by interaction, speaker and time.

    Args:
      root: holds `improvised/` and `naturalistic/`, unpacked or in shards.
      share: whose interactions.

    Raises:
      UserError: no such folder, or neither of the two in it.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    if not any((root / label).is_dir() for label in LABELS):
        raise UserError(f"{root}: holds neither {' nor '.join(f'{label}/' for label in LABELS)}")
    interactions, left_out = list_interactions(root, share)
    listing = ExcerptListing([], left_out)
    for name, interaction in interactions.items():
        try:
            found = list(_excerpts(name, interaction))
            if not found:
                raise UserError("nobody speaks for 8 s while the other listens")
            listing.excerpts.extend(found)
        except UserError as error:
            listing.left_out.append(LeftOut(name, str(error)))
    return listing


def _excerpts(name: str, interaction: Interaction) -> Iterator[Excerpt]:
    files = interaction.files
    if len(files) != 2:
        raise UserError(f"{len(files)} participants ({', '.join(files)}), not two")
    for person, own in files.items():
        if missing := [suffix for suffix in NEEDED if suffix not in own]:
            raise UserError(f"{name}_{person}.{missing[0]} is missing")
    said = {person: read_annotation(own["json"]) for person, own in files.items()}
    voices = {person: annotation.voice for person, annotation in said.items()}
    for person, voice in voices.items():
        if not voice:
            raise UserError(f"{person} has neither voice activity nor words: silence, or nobody has looked")
    end_s = max(voice[-1].end_s for voice in voices.values())
    for speaker, span in passages(voices, end_s):
        listener = next(person for person in files if person != speaker)
        others = others_heard(voices, speaker, span)
        if is_listening(others, span):
            vendor = name.partition("_")[0]
            yield Excerpt(
                uuid=f"{name}-{speaker}-{listener}-{round(span.start_s * 1000):07d}",
                split=interaction.split,
                video_id=name,
                speaker_id=f"{vendor}_{speaker}",
                listener_id=f"{vendor}_{listener}",
                span=span,
                speaker=View(files[speaker]["mp4"]),
                listener=View(files[listener]["mp4"]),
                sound=files[speaker]["wav"],
                words=words_of(said[speaker].words, span),
                others=tuple(others),
            )


def read_annotation(file: File) -> Annotation:
    """A participant's words and voice activity; where there is none of the latter, the words stand in for it.

    Words without times are left out. Raises `UserError` where the file cannot be read.
    """
    try:
        size = file.size if isinstance(file, FileSlice) else file.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise UserError(f"{file}: {size} bytes are no annotations")
        row = json.loads(file.read_bytes())
        words = tuple(_words(row.get("metadata:transcript") or ()))
        voice = [span for turn in row.get("metadata:vad") or () if (span := _span(turn)) is not None]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: not the annotations of a participant ({error})") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None
    spoken = joined((Span(word.start_s, word.end_s) for word in words), WORD_PAUSE_S)
    return Annotation(words, joined(voice) or spoken)


def _words(turns: Any) -> list[Word]:
    rows = (word for turn in turns for word in turn.get("words") or ())
    timed = ((str(row.get("word") or "").strip(), _span(row)) for row in rows)
    return sorted(
        (Word(text, *span) for text, span in timed if text and span is not None), key=lambda w: w.start_s
    )


def _span(row: Mapping[str, Any]) -> Span | None:
    """When something happens; None without times, or where they run backwards."""
    start_s, end_s = row.get("start"), row.get("end")
    if start_s is None or end_s is None:
        return None
    span = Span(float(start_s), float(end_s))
    return span if 0 <= span.start_s <= span.end_s < math.inf else None
