"""Finds a portrait in 3DFaceShop's latent space, once; `sample --renderer faceshop` then knows this portrait.

  python -m lhg_exporters.invert_portrait --weights generator.pth --portrait me.png --output FOLDER \\
      (--tracker-weights deep3d.onnx | --coefficients me.npz) [--steps 400] [--tune 300] [--device cuda]

FOLDER is the renderer's, made by `python -m lhg_exporters faceshop`. With --tune the generator itself is
fitted to the portrait: FOLDER is then a new one, and gets the tuned generator with its ONNX files. Needs the
extra `stages`.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from lhg_jax import media
from lhg_jax.render.faceshop.files import load_stage
from lhg_jax.render.faceshop.fit import Measurement, read_measurement
from lhg_jax.render.faceshop.latent import camera_pose
from lhg_jax.render.faceshop.paste import cut
from lhg_jax.render.faceshop.person import portrait_file
from lhg_jax.util.cli import Maybe, parse
from lhg_jax.util.errors import MissingExtraError, UserError, about, run_cli
from lhg_jax.util.progress import StageTimes, warn

TUNED = "generator.safetensors"


@dataclasses.dataclass(frozen=True)
class Options:
    """Finds a portrait in 3DFaceShop's latent space."""

    weights: Path
    """The official generator.pth (an ema.pth beside it is used)."""
    portrait: Path
    """An image with one face."""
    output: Path
    """The renderer's folder (a new one with --tune)."""
    tracker_weights: Maybe[Path] = None
    """Deep3DFaceRecon's network (.onnx), which measures the portrait."""
    coefficients: Maybe[Path] = None
    """What Deep3DFaceRecon measured in it, instead: .npz or .mat with coeff and transform_params."""
    face: Maybe[int] = None
    """Which face of the portrait, counted from the left from 0; the largest by default."""
    steps: int = 400
    """Steps of the search in the latent space."""
    tune: int = 0
    """Steps of tuning the generator to this portrait."""
    samples: int = 48
    """Coarse samples of a ray, and as many fine ones, while searching."""
    device: str = "cpu"
    """PyTorch's name of the device to search on."""


def invert(options: Options) -> float:
    """Writes what `Options.output` says; returns the PSNR (dB) of the portrait as the generator draws it."""
    check(options)
    try:
        import torch
    except ImportError:
        raise MissingExtraError("inverting a portrait", "stages") from None
    from lhg_exporters.faceshop.checkpoint import load_generator
    from lhg_exporters.faceshop.inversion import Search, Settings

    generator = load_generator(options.weights).to(options.device)
    if not options.tune:
        require_same_weights(options.output, options.weights)
    portrait = media.read_image(options.portrait)
    start = measure(options, portrait).person(len(portrait), generator.sizes.rows)
    to_portrait = start.placement.to_portrait(float(start.angle[2]), start.trans, generator.sizes.image)
    picture = 2.0 * cut(portrait, to_portrait, generator.sizes.image).transpose(2, 0, 1) - 1.0
    given = (picture, start.latent, camera_pose(start.angle))
    wanted, latent, pose = (torch.from_numpy(np.ascontiguousarray(x)).to(options.device) for x in given)
    settings = Settings(steps=options.steps, tune_steps=options.tune, samples=options.samples)
    with StageTimes().stage("inversion", options.steps + options.tune) as advance:
        found = Search(generator, wanted, latent, pose, settings).run(advance)
    if options.tune:
        save_tuned(found.generator, options.output)
    names = ("latent", "residual", "pose_offset")
    person = dataclasses.replace(start, **{name: getattr(found, name).cpu().numpy() for name in names})
    path = portrait_file(options.output, portrait)
    person.save(path)
    print(f"wrote {path}")
    return found.psnr_db


def check(options: Options) -> None:
    """Raises `UserError` for combinations of options that mean nothing."""
    if (options.tracker_weights is None) == (options.coefficients is None):
        raise UserError("--tracker-weights: either the tracker's network or --coefficients is needed")
    if options.steps < 0 or options.tune < 0 or options.samples < 3:
        raise UserError("--steps, --tune: must not be negative; --samples: at least 3")
    is_there = (options.output / "mapping.onnx").is_file()
    if options.tune and is_there:
        raise UserError(
            f"{options.output}: already holds a generator; the tuned one needs a folder of its own"
        )
    if not options.tune and not is_there:
        raise UserError(
            f"{options.output}: not a renderer's folder (`python -m lhg_exporters faceshop` makes it)"
        )


def require_same_weights(folder: Path, weights: Path) -> None:
    """Raises `UserError` for a renderer's folder made from other weights: what is found would not fit it."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if load_stage(folder, "mapping").metadata["weights_sha256"] != digest:
        raise UserError(f"{folder}: made from other weights than {weights}")


def measure(options: Options, portrait: np.ndarray) -> Measurement:
    """Coefficients of the portrait's face."""
    if options.coefficients:
        return read_measurement(options.coefficients)
    from lhg_jax.faces import deep3d

    with about(options.portrait):
        fit = deep3d.load(options.tracker_weights).track_image(portrait, options.face)
    for message in fit.warnings:
        warn(f"{options.portrait}: {message}")
    return Measurement(fit.parameters, fit.place)


def save_tuned(generator, folder: Path) -> None:
    """Writes a tuned generator and its ONNX files."""
    import safetensors.torch

    from lhg_exporters import onnx_file
    from lhg_exporters.folders import export_folder
    from lhg_jax.util.atomic import replacing

    with replacing(folder / TUNED) as temporary:
        safetensors.torch.save_file(generator.cpu().state_dict(), temporary)
    export_folder(onnx_file.Options("faceshop", folder / TUNED, folder))


def main() -> None:
    """Parses the command line and inverts."""
    options = parse(Options, "python -m lhg_exporters.invert_portrait", __doc__)
    print(f"the portrait as the generator draws it: PSNR {invert(options):.1f} dB")


if __name__ == "__main__":
    run_cli(main)
