"""Two clocks made one, and how much somebody may send."""

import dataclasses
import math

RENEW_S = 10.0  # how long the quickest message counts: clocks drift, and computers sleep


class ClientClock:
    """Puts the client's times on our clock.

    The quickest message of late is taken to have needed no time at all, so that no time lies ahead of us, and
    what others took longer is their delay. A client whose clock jumps is believed within `RENEW_S` seconds.
    """

    def __init__(self) -> None:
        self._recent = self._before = math.inf  # least (ours - theirs) of this period and the one before
        self._renew_s = -math.inf

    def ours(self, time_us: int, now_s: float) -> float:
        """Our time (s) of the client's `time_us`, which has come at `now_s`."""
        if now_s >= self._renew_s:
            self._before, self._recent, self._renew_s = self._recent, math.inf, now_s + RENEW_S / 2
        self._recent = min(self._recent, now_s - time_us * 1e-6)
        return time_us * 1e-6 + self._offset_s

    def theirs(self, time_s: float) -> int:
        """The client's time (microseconds, at least 0) of our `time_s`; 0 before it has sent any."""
        return max(round((time_s - self._offset_s) * 1e6), 0) if math.isfinite(self._offset_s) else 0

    @property
    def _offset_s(self) -> float:
        return min(self._recent, self._before)


@dataclasses.dataclass
class Allowance:
    """So much a second, and so much at once.

    Attributes:
      rate: comes back each second.
      most: is there at the start, and is never exceeded.
    """

    rate: float
    most: float

    def __post_init__(self) -> None:
        self._left, self._since_s = self.most, -math.inf

    def take(self, amount: float, now_s: float) -> bool:
        """Whether `amount` may be had at `now_s`; if so, it is taken."""
        back = self.rate * max(now_s - self._since_s, 0.0) if math.isfinite(self._since_s) else self.most
        self._left = min(self._left + back, self.most)
        self._since_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True
