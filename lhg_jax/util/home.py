"""A home for users whom the system does not know: some libraries ask for one while they are imported."""

import os
from pathlib import Path


def require_home() -> None:
    """Sets HOME to `/`, as Docker does, where it is not set and nobody knows the user's home."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.sep
