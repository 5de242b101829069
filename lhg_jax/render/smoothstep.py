"""The soft edge that masks and motions of the renderers share."""

from typing import Any

import numpy as np


def smoothstep(x: Any) -> Any:
    """Of a number or an array: 0 below 0, 1 above 1, cubic between (zero slope at both ends)."""
    x = np.minimum(np.maximum(x, 0.0), 1.0)  # np.clip takes longer to begin
    return x * x * (3.0 - 2.0 * x)
