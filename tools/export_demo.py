"""A training run's listener as the package's demo model: scores on held-out dyads, model card.

python tools/export_demo.py --workdir out/demo_head --clips out/synthetic/head_test
"""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import tyro
from measure_listeners import markdown as drawn_markdown
from measure_listeners import measure_listeners

from lhg_jax.data.records import open_source
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
    dyads: int = 60
    """Held-out dyads whose listener keeps fixed rules, to score the mean listener on; >= 1."""
    clips: Path = Path("out/synthetic/head_test")
    """Prepared clips of speakers that neither stage heard, to measure drawn listeners on."""
    limit: int = 60
    """How many of them, >= 1."""
    samples: int = 5
    """Listeners drawn for each, >= 1."""
    voices: str = "espeak-ng alone"
    """Whose voices the training clips have, for the card."""


def main(options: Options) -> None:
    path = options.workdir / NAME
    _, notes = load_weights(path)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    trained = in_half_precision(load_listener(path), options.output)
    table = score_all(trained, options.dyads)
    drawn = measure_listeners(trained, open_source(options.clips), options.limit, options.samples)
    text = CARD.read_text(encoding="utf-8").format(
        training=notes["training"],
        head_training=notes.get("head_training", "no flow head"),
        voices=options.voices,
        dyads=options.dyads,
        table=markdown(table),
        clips=min(options.limit, len(open_source(options.clips))),
        samples=options.samples,
        drawn=drawn_markdown(drawn),
    )
    options.output.with_name("demo_model_card.md").write_text(text, encoding="utf-8")
    added = {"license": "Apache-2.0", "scores": json.dumps(table["demo"])}
    save_listener(options.output, halved(trained), notes | added)
    console.print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB, {notes['training']}")


def in_half_precision(trained: ListenerModel, output: Path) -> ListenerModel:
    """The listener as it is read back from the package's file, whose head has half the bytes."""
    save_listener(output, halved(trained), {})
    return load_listener(output)


def halved(trained: ListenerModel) -> ListenerModel:
    """With the flow head's weights in half precision; the trunk's stay as they were trained."""
    if trained.head is None:
        return trained
    variables = jax.tree.map(lambda x: np.asarray(x, np.float16), dict(trained.head.variables))
    styles = trained.head.styles.astype(np.float16)
    return dataclasses.replace(
        trained, head=dataclasses.replace(trained.head, variables=variables, styles=styles)
    )


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


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/export_demo.py", description=__doc__)))
