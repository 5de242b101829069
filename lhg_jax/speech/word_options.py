"""Options of the commands that listen: how speech becomes words, and words become vectors."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lhg_jax.util.cli import Maybe
from lhg_jax.util.errors import UserError

if TYPE_CHECKING:  # JAX takes seconds to import: not before the cheap errors
    from lhg_jax.speech.asr import Recogniser

Asr = Literal["pocketsphinx", "whisper", "none"]


@dataclasses.dataclass(frozen=True)
class WordOptions:
    """Who recognises words where there is no transcript, and who reads them."""

    asr: Asr = "pocketsphinx"
    """Speech recogniser, used where there is no transcript: pocketsphinx (English), whisper (any language,
    needs --asr-model), or none: no words."""
    asr_model: Maybe[Path] = None
    """whisper: folder of a faster-whisper model (docs/weights.md)."""
    language: Maybe[str] = None
    """whisper: code of the language that is spoken, e.g. zh; found out in each recording by default."""
    word_encoder: Maybe[Path] = None
    """Folder of the BERT that reads the words (docs/weights.md), e.g. a multilingual one; by default the
    English MiniLM of the package. A listener takes the vectors of the one it was trained with."""

    def check(self) -> None:
        """Raises `UserError` for what cannot be used; loads no model."""
        self.recogniser()
        if self.word_encoder is not None and not (self.word_encoder / "config.json").is_file():
            raise UserError(f"--word-encoder {self.word_encoder}: not the folder of a BERT (no config.json)")

    def recogniser(self) -> "Recogniser":
        """The recogniser. Raises `UserError`."""
        from lhg_jax.speech.asr import recogniser

        return recogniser(self.asr, self.asr_model, self.language)

    def stamps(self) -> list[tuple[str, int, int]]:
        """Name, size (bytes) and date (ns) of the files of models that are not the package's own."""
        folders = [folder for folder in (self.asr_model, self.word_encoder) if folder is not None]
        files = sorted(path for folder in folders for path in folder.iterdir() if path.is_file())
        return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
