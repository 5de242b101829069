"""Brings a drawn listener's movements to the size of true listeners'.

  python tools/calibrate_head.py --checkpoint out/demo_head/listener.safetensors \\
    --clips out/synthetic/head_valid

Draws listeners for the clips, which should be of speakers that no stage was trained on, and writes the
listener again (--output, or the same file) with a factor for the pose and one for each action of the face.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import ListenerModel, load_listener, save_listener
from lhg_jax.training.head_calibration import gains, movements, rescaled
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import console
from lhg_jax.weights import load_weights


@dataclasses.dataclass(frozen=True)
class Options:
    """Which listener, and on what."""

    checkpoint: Path
    """Listener with a flow head."""
    clips: Path
    """Clips of `prepare`, of speakers that no stage was trained on."""
    output: Path | None = None
    """Where to write; in place by default."""
    samples: int = 3
    """Listeners drawn for each clip, >= 1."""
    smiles: float = 1.0
    """A further factor on smiles, where those of the clips' listeners are smaller than people's; > 0."""


def main(options: Options) -> None:
    model, (_, notes) = load_listener(options.checkpoint), load_weights(options.checkpoint)
    if model.head is None:
        raise UserError(f"{options.checkpoint}: this listener draws nothing (train a flow head on it)")
    factors = gains(drawn(model, open_source(options.clips), options.samples), model.space)
    if options.smiles != 1:
        if "smile" not in movements(model.space):
            raise UserError(f"--smiles: the {model.space.name} space has no smile of its own")
        factors["smile"] = options.smiles * factors.get("smile", factors["exp"])
    model = dataclasses.replace(model, head=rescaled(model.head, factors, model.space))
    output = options.output or options.checkpoint
    save_listener(output, model, notes)
    what = ", ".join(f"{name} {factor:.3f}" for name, factor in factors.items())
    console.print(f"{output}: factors on what is drawn: {what}")


def drawn(
    model: ListenerModel, source: RecordSource, samples: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Mean, drawn and true motion; other seeds for each clip."""
    for number in range(len(source)):
        clip = source[number]
        true = np.asarray(clip.listener_motion, np.float32)
        mean = model.generate(clip.features, true[0])
        for motion in model.draw(clip.features, true[0], Draw(samples * number), samples):
            yield mean, motion, true


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
