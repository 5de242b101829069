"""Names of files, compared as people read them."""

import unicodedata
from pathlib import Path


def composed(name: str) -> str:
    """The name with each letter in one piece: archives from macOS hold `é` as `e` and an accent."""
    return unicodedata.normalize("NFC", name)


def stem(path: Path) -> str:
    """A file's name without its suffix, composed."""
    return composed(path.stem)
