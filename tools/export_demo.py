"""Exports a training run as the package's demo model: weights, scores on held-out dyads, model card.

python tools/export_demo.py --workdir out/demo
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro

from lhg_jax.config import load_config
from lhg_jax.data.benchmark import TestClip, score, test_clips, trivial_listeners
from lhg_jax.data.probes import SCORES
from lhg_jax.data.records import open_source
from lhg_jax.errors import run_cli
from lhg_jax.pretrained import DEMO, ListenerModel, save_listener
from lhg_jax.progress import console
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.training.checkpoints import restore_variables
from lhg_jax.training.run import Run

COLUMNS = (
    *SCORES,
    "nod_lag_error_s",
    "mirror_gain_error",
    "blink_per_min",
    "pose_speed",
    "exp_l1",
    "pose_l1",
)
CARD = Path(__file__).parent / "demo_model_card.template.md"


@dataclasses.dataclass(frozen=True)
class Options:
    """Scores a run and writes its averaged parameters."""

    workdir: Path
    """Of `python -m lhg_jax.train`."""
    config: Path = Path("configs/demo.py")
    """Settings of the run."""
    output: Path = DEMO
    """Weights; the model card goes beside them."""
    clips: int = 60
    """Held-out dyads to score on; 0 leaves the scores and the card out."""


def main(options: Options) -> None:
    config = load_config(options.config)
    source = open_source(config.data.train)
    run = Run(config, source.space, None)
    variables, step = restore_variables(options.workdir, run.abstract_state(source))
    word_size = source[0].features.word_table.shape[-1]
    trained = ListenerModel(run.model, variables, source.space, word_size)
    notes = {
        "training": f"{step} steps of {options.config} on {source.metadata.hours:.1f} h of dyads",
        "license": "Apache-2.0",
    }
    if options.clips:
        table = score_all(trained, options.clips)
        notes["scores"] = json.dumps(table["demo"])
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_card(options.output.with_name("demo_model_card.md"), options, step, source.metadata, table)
    save_listener(options.output, trained, notes)
    size = options.output.stat().st_size / 1e6
    console.print(f"{options.output}: {size:.1f} MB, step {step}")


def score_all(trained: ListenerModel, count: int) -> dict[str, dict[str, float]]:
    """Scores of the model, with and without the speaker in sight, and of the listeners that hear nothing."""
    clips = test_clips(0, count, BertEncoder.load(None))

    def demo(clip: TestClip) -> np.ndarray:
        return trained.generate(clip.example.features, clip.dyad.listener.values[0])

    def sound_alone(clip: TestClip) -> np.ndarray:
        features = clip.example.features
        unseen = features.replace(motion=np.zeros_like(features.motion), has_motion=np.array(False))
        return trained.generate(unseen, clip.dyad.listener.values[0])

    listeners = {"demo": demo, "demo, sound alone": sound_alone, **trivial_listeners(clips)}
    return {name: score(listens, clips) for name, listens in listeners.items()}


def markdown(table: dict[str, dict[str, float]]) -> str:
    """Scores as a table, one row a listener."""
    lines = ["| listener | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in table.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[column]:.3g}" for column in COLUMNS) + " |")
    return "\n".join(lines)


def write_card(path: Path, options: Options, step: int, metadata, table: dict[str, dict[str, float]]) -> None:
    """Fills in the card's template."""
    text = CARD.read_text(encoding="utf-8").format(
        steps=step, hours=metadata.hours, clips=len(metadata.uuids), test=options.clips, table=markdown(table)
    )
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
