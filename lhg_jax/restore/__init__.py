"""Restoration: sharper frames after rendering. No stage is bundled yet; the one planned is RVRT."""

from lhg_jax.errors import UserError

# Name -> "module:class"; a restorer takes an iterator of frames and gives one of as many frames.
RESTORERS: dict[str, str] = {}


def check_restorer(name: str) -> None:
    """Raises `UserError` for a name that is neither 'none' nor in `RESTORERS`."""
    if name != "none" and name not in RESTORERS:
        raise UserError(f"--restore: unknown restoration {name!r} (known: {', '.join(['none', *RESTORERS])})")
