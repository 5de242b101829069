"""Reading video: the frames of a file as a stream of upright pictures with their times."""

import dataclasses
import os
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8

from lhg_jax.media import libav
from lhg_jax.media.clock import read_clock
from lhg_jax.media.decoding import decode, is_timed, require_video, truncated
from lhg_jax.media.display import Display
from lhg_jax.media.timing import frame_times
from lhg_jax.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture: `image` UInt8 [H, W, 3] RGB, upright, shown from `time_s` (seconds, file's clock) on."""

    time_s: float
    image: UInt8[np.ndarray, "height width 3"]


def read_frames(path: str | os.PathLike, on_frame: Callable[[], None] | None = None) -> Iterator[Frame]:
    """Decodes a video frame by frame; memory does not grow with its length.

    Time 0 is the file's clock (`clock.Clock`), the one that `read_audio` uses: a video track that starts
    late yields its first frame at its own time stamp. Pictures are as players show them (`display.Display`):
    turned, with square pixels, in the colours of an ordinary screen, and all as large as the first one.

    Args:
      path: a video file.
      on_frame: called after each frame has been used, e.g. to move a progress bar.

    Raises:
      UserError: at the call of `next`, if the file is no video or ends before its last frame.
    """
    clock, count = read_clock(path), 0
    with libav.open_input(path) as container:
        stream = require_video(path, container)
        display = Display(stream)
        promised = stream.frames if is_timed(container) else 0
        for time_s, _, frame in decode(path, container, stream, clock):
            count += 1
            yield Frame(time_s - clock.zero_s, display(frame))
            if on_frame is not None:
                on_frame()
    # Frames that an edit list hides are counted by the header too: only then look at the packets.
    if promised and count < promised and count < len(frame_times(path)):
        raise truncated(path, count, promised)
    if not count:
        raise UserError(f"{path}: no frame of the video can be decoded")
