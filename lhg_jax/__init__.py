"""lhg_jax: responsive listening heads in JAX. A speaker and one portrait in, a listening video out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lhg_jax.draw_options import DrawOptions
    from lhg_jax.motion import Motion, load_motion, save_motion
    from lhg_jax.pipeline.core import Pipeline, Speaker
    from lhg_jax.pipeline.edit import MotionEdit
    from lhg_jax.pipeline.listening import Listening
    from lhg_jax.pipeline.source import Clip
    from lhg_jax.speech.words import Word
    from lhg_jax.util.errors import UserError

__version__ = "0.1.0"

# Names for users and their modules, imported when asked for: some take seconds.
_PUBLIC = {
    "Clip": "lhg_jax.pipeline.source",
    "DrawOptions": "lhg_jax.draw_options",
    "Listening": "lhg_jax.pipeline.listening",
    "Motion": "lhg_jax.motion",
    "MotionEdit": "lhg_jax.pipeline.edit",
    "Pipeline": "lhg_jax.pipeline.core",
    "Speaker": "lhg_jax.pipeline.core",
    "UserError": "lhg_jax.util.errors",
    "Word": "lhg_jax.speech.words",
    "load_motion": "lhg_jax.motion",
    "save_motion": "lhg_jax.motion",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lhg_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
