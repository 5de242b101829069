"""Options of recorded voices for simulated dyads: whose recordings are heard, and how fast."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from lhg_jax.util.cli import Maybe
from lhg_jax.util.errors import UserError

if TYPE_CHECKING:
    from lhg_jax.preparation.clip_files import LeftOut
    from lhg_jax.preparation.voices import Voice


@dataclasses.dataclass(frozen=True)
class SpeechOptions:
    """Whose recordings the listeners of synthetic dyads hear."""

    speech: Maybe[Path] = None
    """synthetic: recordings with texts to listen to, in LibriSpeech's or LJSpeech's layout, NAME.wav and
    NAME.txt (or a transcript), or with a manifest.jsonl. No speaker is in two splits."""
    speech_share: float = 1.0
    """synthetic, with --speech: share of dyads that hear a recording; the others hear a synthetic voice."""
    speech_part: tuple[float, float] = (0.0, 1.0)
    """synthetic, with --speech: the split's speakers from one share to another, e.g. `0 0.5` and `0.5 1`."""
    speech_speeds: tuple[float, ...] = (1.0,)
    """synthetic, with --speech: speeds at which all are heard, 0.5-2; `0.9 1 1.1` gives more voices."""
    clear_licence: bool = False
    """synthetic, with --speech: only recordings that the manifest marks `clear`, free to be passed on."""
    english_only: bool = False
    """synthetic, with --speech: leave out recordings in other languages, whose words nobody here knows."""

    def voices(self, split: str, cache: Path, workers: int) -> tuple[list["Voice"], list["LeftOut"]]:
        """The speakers of a split at each speed, none without --speech, and what cannot be used.

        Args:
          split: train, valid or test.
          cache: folder of the analysed recordings.
          workers: processes that analyse what is not there yet.

        Raises `UserError` for shares and speeds out of range, a folder without recordings, and a split
        without speakers.
        """
        from lhg_jax.preparation.speech_folder import read_speech_folder, wanted_recordings
        from lhg_jax.preparation.voices import prepare_voices, voices_of_split

        if self.speech is None:
            return [], []
        self._check()
        listing = read_speech_folder(self.speech)
        recordings = wanted_recordings(self.speech, listing, self.clear_licence, self.english_only)
        voices, unread = prepare_voices(recordings, cache, workers)
        chosen = voices_of_split(voices, split, self.speech_part)
        if not chosen:
            raise UserError(
                f"{self.speech}: none of its {len(voices)} speakers falls into --split {split} "
                "(a tenth each go to valid and test, so at least 10 speakers are needed)"
            )
        heard = [dataclasses.replace(voice, speed=speed) for voice in chosen for speed in self.speech_speeds]
        return heard, [*listing.left_out, *unread]

    def _check(self) -> None:
        first, last = self.speech_part
        if not (0 <= self.speech_share <= 1 and 0 <= first < last <= 1):
            raise UserError(
                "--speech-share: from 0 to 1; --speech-part: two such shares, the lower one first"
            )
        if not self.speech_speeds or not all(0.5 <= speed <= 2 for speed in self.speech_speeds):
            raise UserError("--speech-speeds: each from 0.5 to 2")
