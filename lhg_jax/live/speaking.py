"""Whether somebody speaks, by how loud it is, whatever lies under the voice: a quiet room, a fan, a street.

The level of what does not stop is followed like minimum statistics (Martin 2001) in its simplest form: down
at once, up slowly. Speech is what stands out from it; it dips towards it between syllables, and so does not
lift it.
"""

from lhg_jax.motion import FRAME_RATE

SILENT_DB = -45.0  # relative to the running loudness: so quiet is silence in any room
MARGIN_DB = 9.0  # above the noise: its loudest band swings by less
RISE_DB_PER_S = 4.0  # so that a fan that is switched on is noise after some seconds
DIP_S = 0.1  # time constant of the level that the noise follows downwards


class Speaking:
    """Tells speech from noise, one frame after the other.

    Attributes:
      noise_db: level of what does not stop, relative to the running loudness.
    """

    def __init__(self) -> None:
        self.noise_db = self._smooth_db = 0.0  # what sounds at first is noise until something stands out

    def __call__(self, level_db: float) -> bool:
        """Whether a frame may be speech; `level_db` is its loudest band relative to the running loudness."""
        level_db = max(level_db, -80.0)
        self._smooth_db += (level_db - self._smooth_db) / (DIP_S * FRAME_RATE)
        self.noise_db = min(self.noise_db + RISE_DB_PER_S / FRAME_RATE, self._smooth_db)
        return level_db > max(SILENT_DB, self.noise_db + MARGIN_DB)
