"""The 3DFaceShop renderer with random weights: frames/s and peak memory; inversion of pictures it has drawn.

python tools/bench/faceshop.py [--frames 4]
python tools/bench/faceshop.py --frames 0 --steps 150 --image 128 --samples 16
"""

import dataclasses
import functools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests"))


@dataclasses.dataclass(frozen=True)
class Options:
    """A few frames, and perhaps an inversion."""

    image: int = 512
    """Side of a picture; planes are half as wide, a fourth of it are rays."""
    frames: int = 4
    """How many to draw."""
    steps: int = 0
    """Of an inversion."""
    samples: int = 48
    """Coarse samples of a ray, and as many fine ones, in the inversion."""
    seed: int = 1
    """Of the weights and of the latent that is inverted."""
    folder: Path | None = None
    """Of the ONNX files; by default they are made, and drawn with by a process of its own."""


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    if options.folder:
        render(options.folder, options.frames)
        return
    from faceshop_folder import make_folder
    from faceshop_weights import official_sizes, random_generator

    generator = random_generator(options.seed, official_sizes(options.image))
    balance(generator)
    if options.frames:
        with tempfile.TemporaryDirectory() as name:
            folder = make_folder(Path(name), generator)
            command = [sys.executable, __file__, "--folder", str(folder), "--frames", str(options.frames)]
            subprocess.run(command, check=True)
    if options.steps:
        invert(generator, options)


def balance(generator, pictures: int = 3) -> None:
    """Makes the pictures of random latents fill [-1, 1]: their mean becomes 0, their deviation 0.4."""
    import torch

    from lhg_exporters.faceshop.inversion import draw

    with torch.no_grad():
        styles = generator.styles(torch.randn(pictures, 379))
        drawn = torch.stack([draw(generator, ws[None], torch.full((2,), np.pi / 2), 8) for ws in styles])
        gain = 0.4 / drawn.std(dim=(0, 2, 3))
        last = generator.sr.block1.torgb
        last.weight *= gain[:, None, None, None]
        last.bias.copy_((last.bias - drawn.mean(dim=(0, 2, 3))) * gain)


def render(folder: Path, count: int) -> None:
    """Draws on a portrait of 512 x 512; the first frame is not counted."""
    from faceshop_folder import make_person

    from lhg_jax.motion import DEEP3D
    from lhg_jax.render.faceshop.files import load_face_generator
    from lhg_jax.render.faceshop.renderer import FaceshopRenderer
    from lhg_jax.util.progress import peak_memory_mb

    rng = np.random.default_rng(0)
    portrait = rng.integers(0, 256, (512, 512, 3), np.uint8)
    start = time.perf_counter()
    generator = load_face_generator(folder)
    rows = generator.stages["planes"].inputs["ws"].shape[0]
    renderer = FaceshopRenderer(portrait, generator, make_person(rows, 512))
    motion = (0.1 * rng.normal(size=(count + 1, DEEP3D.size))).astype(np.float32)
    renderer.frame(motion[0])
    print(f"files loaded, still volume made and first frame drawn: {time.perf_counter() - start:.1f} s")
    print(f"a frame: {timed([functools.partial(renderer.frame, row) for row in motion[1:]])}")
    ws, pose = renderer.person.residual, np.full(2, np.pi / 2, np.float32)
    texels = generator.texels(ws)
    features, _ = generator.see(texels, texels, pose)
    print(f"of which planes: {timed([lambda: generator.texels(ws)])}")
    print(f"rays: {timed([lambda: generator.see(texels, texels, pose)])}")
    print(f"super-resolution: {timed([lambda: generator.image(features, ws)])}")
    print(f"peak memory {peak_memory_mb():.0f} MB")


def timed(calls) -> str:
    """Seconds of each call: median and range by the clock, median of all threads' processor time."""
    wall, processor = [], []
    for call in calls:
        start = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    spread = f"{min(wall):.2f}-{max(wall):.2f}"
    return f"{np.median(wall):.2f} s of {len(wall)} ({spread}), {np.median(processor):.2f} s of processors"


def invert(generator, options: Options) -> None:
    """Recovers a picture of a random latent; coefficients are known, z is not, the pose is 0.02 rad off."""
    import torch

    from lhg_exporters.faceshop.inversion import Search, Settings, draw, psnr_db

    torch.manual_seed(options.seed)
    latent, pose = torch.randn(379), torch.tensor([1.5, 1.7])
    with torch.no_grad():
        picture = draw(generator, generator.styles(latent[None]), pose, options.samples).clamp(-1, 1)
    settings = Settings(steps=options.steps, samples=options.samples)
    search = Search(generator, picture, latent, pose + 0.02, settings)
    with torch.no_grad():
        before = psnr_db(search.draw(), picture)
    start = time.perf_counter()
    found = search.run()
    a_step = (time.perf_counter() - start) / options.steps
    print(f"inversion: PSNR {before:.1f} -> {found.psnr_db:.1f} dB, {options.steps} steps of {a_step:.2f} s")


if __name__ == "__main__":
    main()
