"""A training run's listener as the package's demo model: scores on held-out dyads, model card.

python tools/export_demo.py --workdir out/demo
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro

from lhg_jax.listener_checkpoint import DEMO, ListenerModel, load_listener, save_listener
from lhg_jax.simulator.benchmark import TestClip, score, test_clips, trivial_listeners
from lhg_jax.simulator.rule_scores import SCORES
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.training.listener_file import NAME
from lhg_jax.util.errors import run_cli
from lhg_jax.util.progress import console
from lhg_jax.weights import load_weights

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
    """Scores a run's listener and puts it into the package."""

    workdir: Path
    """Of `python -m lhg_jax.train`."""
    output: Path = DEMO
    """Weights; the model card goes beside them."""
    clips: int = 60
    """Held-out dyads to score on, >= 1."""


def main(options: Options) -> None:
    path = options.workdir / NAME
    trained = load_listener(path)
    _, notes = load_weights(path)
    table = score_all(trained, options.clips)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_card(options.output.with_name("demo_model_card.md"), notes["training"], options.clips, table)
    added = {"license": "Apache-2.0", "scores": json.dumps(table["demo"])}
    save_listener(options.output, trained, notes | added)
    console.print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB, {notes['training']}")


def score_all(trained: ListenerModel, count: int) -> dict[str, dict[str, float]]:
    """Scores of the model, with and without what it may lack, and of the listeners that hear nothing."""
    clips = test_clips(0, count, BertEncoder.load(None))

    def listen(clip: TestClip, **without: np.ndarray) -> np.ndarray:
        features = clip.example.features.replace(**without)
        return trained.generate(features, clip.dyad.listener.values[0])

    def sound_alone(clip: TestClip) -> np.ndarray:
        return listen(clip, speaker_seen=np.zeros_like(clip.example.features.speaker_seen))

    def without_words(clip: TestClip) -> np.ndarray:
        return listen(clip, word_index=np.zeros_like(clip.example.features.word_index))

    own = {"demo": listen, "demo, sound alone": sound_alone, "demo, no transcript": without_words}
    listeners = {**own, **trivial_listeners(clips)}
    return {name: score(listens, clips) for name, listens in listeners.items()}


def markdown(table: dict[str, dict[str, float]]) -> str:
    """Scores as a table, one row a listener."""
    lines = ["| listener | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in table.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[column]:.3g}" for column in COLUMNS) + " |")
    return "\n".join(lines)


def write_card(path: Path, training: str, clips: int, table: dict[str, dict[str, float]]) -> None:
    """Fills in the card's template."""
    text = CARD.read_text(encoding="utf-8").format(training=training, test=clips, table=markdown(table))
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, description=__doc__)))
