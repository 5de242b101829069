"""The built-in pair: Grace Hopper speaks, Eileen Collins listens (public-domain photographs: US Navy, NASA).

The speaker's clip is made here: her portrait, moved by the mesh renderer along a
recorded synthetic motion, with the synthetic speech in `assets/`. From there on it is an ordinary clip.
"""

from importlib import resources
from pathlib import Path

import numpy as np
from skimage import data, io

from lhg_jax import faces, media, render
from lhg_jax.motion import load_motion
from lhg_jax.pipeline.request import Request

ASSETS = resources.files("lhg_jax") / "assets"
# Head and shoulders of each photograph: (rows, columns), pixels.
SPEAKER_CROP = np.s_[20:480, 40:500]
LISTENER_CROP = np.s_[:352, 48:400]
SPEAKER_FPS = 25.0  # not the model's 30: the demo takes the way that other people's clips take


def demo_request(output: Path) -> Request:
    """Writes the speaker's clip and the portrait beside `output` and says what to make of them."""
    folder = output.parent
    speaker, picture = folder / "demo_speaker.mp4", folder / "demo_portrait.png"
    make_speaker(speaker)
    io.imsave(picture, portrait(), check_contrast=False)
    return Request(
        speaker=speaker,
        listener=picture,
        transcript=Path(str(ASSETS / "demo_speech.json")),
        output=output.with_name(f"{output.stem}_listener{output.suffix}"),
        side_by_side=output,
    )


def portrait() -> np.ndarray:
    """The listener's portrait, RGB."""
    return np.ascontiguousarray(data.astronaut()[LISTENER_CROP])


def make_speaker(path: Path) -> None:
    """Renders the speaker's clip."""
    image = media.read_image(Path(str(ASSETS / "grace_hopper.jpg")))
    image = np.ascontiguousarray(image[SPEAKER_CROP])
    motion = load_motion(Path(str(ASSETS / "demo_speech.motion.npz")))
    renderer = render.load_renderer("mesh")
    fit = faces.get_tracker(renderer.space).track_image(image)
    starts = np.arange(int(len(motion) / motion.fps * SPEAKER_FPS)) / SPEAKER_FPS
    height, width = image.shape[:2]
    sound = Path(str(ASSETS / "demo_speech.flac"))
    with media.VideoWriter(
        path, width, height, starts, end_s=len(starts) / SPEAKER_FPS, audio_from=sound
    ) as writer:
        for frame in renderer(image, fit).animate(motion, starts + 0.5 / SPEAKER_FPS):
            writer.write(frame)
