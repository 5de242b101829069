"""The soft edge that masks and motions of the renderers share."""

from typing import Any

import numpy as np


def smoothstep(x: Any) -> Any:
    """Of a number or an array: 0 below 0, 1 above 1, cubic between (zero slope at both ends)."""
    x = np.minimum(np.maximum(x, 0.0), 1.0)  # np.clip takes longer to begin
    return x * x * (3.0 - 2.0 * x)


def limited(x: Any, kept: float, limit: float) -> Any:
    """x itself up to `kept`, beyond that approaching `limit` smoothly."""
    room = limit - kept
    excess = np.maximum(np.abs(x) - kept, 0.0)
    return np.sign(x) * (np.minimum(np.abs(x), kept) + room * np.tanh(excess / room))
