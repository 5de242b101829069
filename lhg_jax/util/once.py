"""What is loaded when it is first needed, and then kept; threads may share it."""

import threading
from collections.abc import Callable, Hashable
from typing import Any


class Once:
    """Values by name, each made once."""

    def __init__(self) -> None:
        self.made: dict[Hashable, Any] = {}
        self._lock = threading.RLock()

    def __call__(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """The value of that name; `make` is called where there is none yet."""
        with self._lock:
            if name not in self.made:
                self.made[name] = make()
            return self.made[name]
