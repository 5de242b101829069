"""The README's picture of a live session: speaker and listener side by side, as a GIF.

python tools/live_gif.py [--checkpoint FILE] [--liveliness 1.5]

The session is that of `LiveListener`, on the clip's own clock, with the portrait cut as the page cuts it:
what a browser shows where the computer keeps up.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from lhg_jax import media
from lhg_jax.demo import make_speaker, portrait
from lhg_jax.live.listener import LiveListener
from lhg_jax.live.manner import Manner
from lhg_jax.live.portrait import frame_head

PICTURE_S, PACKET_S = 0.2, 0.02  # between two looks at the speaker; of a packet of sound
DELAY_S = 0.1  # from a frame's time to when it is seen (docs/benchmarks.md, Live)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is shown."""

    checkpoint: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="")] = None
    """A causal listener; the package's by default."""
    speaker: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="")] = None
    """A film; the demo's speaker by default."""
    output: Path = Path("docs/images/live.gif")
    start_s: float = 2.0
    seconds: float = 5.0
    liveliness: float = 1.0
    """What the page's slider is set to, 0 to 2."""
    fps: float = 10.0
    height: int = 180


def listen(listener: LiveListener, speaker: Path, until_s: float) -> list[tuple[float, np.ndarray]]:
    """(time, motion) of the listener's frames."""
    wave, pictures = media.read_audio(speaker), media.read_frames(speaker)
    picture, motions = next(pictures), []
    for packet in range(round(until_s / PACKET_S)):
        time_s = packet * PACKET_S
        size = round(PACKET_S * media.SAMPLE_RATE)
        listener.push_audio(wave[packet * size :][:size], time_s)
        if picture.time_s <= time_s:
            listener.push_image(picture.image, time_s)
            while picture.time_s < time_s + PICTURE_S:
                picture = next(pictures, dataclasses.replace(picture, time_s=np.inf))
        motions += [(frame.time_s, frame) for frame in listener.frames(time_s + PACKET_S)]
    return motions


def main() -> None:
    options = tyro.cli(Options, prog="python tools/live_gif.py", description=__doc__)
    speaker = options.speaker or options.output.with_name("live_speaker.mp4")
    if options.speaker is None:
        make_speaker(speaker)
    listener = LiveListener(frame_head(portrait(), options.height), options.checkpoint)
    listener.manner = Manner(options.liveliness)
    end_s = options.start_s + options.seconds
    made = listen(listener, speaker, end_s + 1.0)
    times = np.array([time_s for time_s, _ in made]) + DELAY_S
    shown = []
    due = options.start_s
    for frame in media.read_frames(speaker):
        if frame.time_s >= due and due < end_s:
            _, answer = made[max(int(np.searchsorted(times, frame.time_s, side="right")) - 1, 0)]
            shown.append(Image.fromarray(media.side_by_side(frame.image, answer.draw())))
            due += 1 / options.fps
    palette = [image.quantize(96, dither=Image.Dither.NONE) for image in shown]
    palette[0].save(
        options.output,
        save_all=True,
        append_images=palette[1:],
        duration=1000 / options.fps,
        loop=0,
        optimize=True,
    )
    if options.speaker is None:
        speaker.unlink()


if __name__ == "__main__":
    main()
