"""Two runs' listeners as the package's demo models: scores on held-out dyads, model card.

python tools/export_demo.py --workdir out/demo_head --live out/demo_live --clips out/synthetic/head_test
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import tyro
from measure_listeners import dyads_of, measure_listeners
from measure_listeners import markdown as drawn_markdown

from lhg_jax.data.records import RecordSource, open_source
from lhg_jax.listener_checkpoint import (
    DEMO,
    ListenerModel,
    in_half_precision,
    load_listener,
    save_listener,
)
from lhg_jax.live.listener import LIVE_DEMO
from lhg_jax.preparation.speech_folder import read_speech_folder
from lhg_jax.preparation.synthetic_clips import make_causal_example
from lhg_jax.preparation.voices import prepare_voices
from lhg_jax.simulator.benchmark import TestClip, as_clips, score, test_clips, trivial_listeners
from lhg_jax.simulator.dyads import synthesise_human_rules
from lhg_jax.simulator.rule_scores import SCORES
from lhg_jax.speech.bert import BertEncoder, shared_encoder
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
SETTINGS = ("settings", "head_settings")  # of a run, of no use to anybody who has not its folders
RULES_SEED = 901  # of the dyads with recorded voices that keep the rules
CARD = Path(__file__).parent / "demo_model_card.template.md"


@dataclasses.dataclass(frozen=True)
class Options:
    """Scores the demo's two listeners and puts them into the package."""

    workdir: Path
    """Of `python -m lhg_jax.train`, the listener of whole clips."""
    live: Path
    """Working folder of the listener of live sessions."""
    output: Path = DEMO.parent
    """Folder for both weights and the model card."""
    dyads: int = 60
    """Held-out dyads whose listener keeps fixed rules, to score the mean listeners on; >= 1."""
    clips: Path = Path("out/synthetic/head_test")
    """Prepared clips of speakers that no stage heard, to measure drawn listeners on."""
    speech: Path | None = None
    """Recordings that these clips were made of, to measure what the same people do another time."""
    speech_cache: Path = Path("out/synthetic/speech")
    """Folder of the recordings once analysed."""
    limit: int = 400
    """How many of the clips, >= 1."""
    samples: int = 5
    """Listeners drawn for each, >= 1."""
    voices: str = "espeak-ng alone"
    """Whose voices the training clips have, for the card."""


def main(options: Options) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    trained, notes = shipped(options.workdir, options.output / DEMO.name)
    live, live_notes = shipped(options.live, options.output / LIVE_DEMO.name)
    clips = test_clips(0, options.dyads, BertEncoder.load(None))
    table = score_all(trained, live, clips)
    source = open_source(options.clips)
    count = min(options.limit, len(source))
    dyads, recorded = [], "Not measured: no recordings were given."
    if options.speech:
        dyads = dyads_of(source, count, options.speech, options.speech_cache)
        people = recorded_clips(source, options.dyads, options.speech, options.speech_cache)
        recorded = markdown(score_all(trained, live, people))
    drawn = measure_listeners(trained, source, count, options.samples, dyads=dyads)
    text = CARD.read_text(encoding="utf-8").format(
        training=notes["training"],
        head_training=notes["head_training"],
        live_training=live_notes["training"],
        voices=options.voices,
        dyads=options.dyads,
        table=markdown(table),
        recorded=recorded,
        clips=count,
        samples=options.samples,
        drawn=drawn_markdown(drawn),
    )
    (options.output / "demo_model_card.md").write_text(text, encoding="utf-8")
    for name in (DEMO.name, LIVE_DEMO.name):
        path = options.output / name
        console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def recorded_clips(source: RecordSource, count: int, speech: Path, cache: Path) -> list[TestClip]:
    """Dyads whose listener keeps the rules, with recordings in English of the speakers of these clips."""
    wanted = {source.info(number).speaker_id for number in range(len(source))}
    recordings = read_speech_folder(speech).recordings
    heard = [item for item in recordings if item.english and item.speaker in wanted]
    voices, _ = prepare_voices(heard, cache, workers=1)
    chosen = itertools.islice(itertools.cycle(voices), count)
    dyads = (synthesise_human_rules(voice.load(), RULES_SEED, number) for number, voice in enumerate(chosen))
    return as_clips(dyads, shared_encoder())


def shipped(workdir: Path, output: Path) -> tuple[ListenerModel, dict[str, str]]:
    """A run's listener as it is read back from the package's file, and what the file says of it."""
    _, notes = load_weights(workdir / NAME)
    notes = {name: text for name, text in notes.items() if name not in SETTINGS}  # name the run's folders
    trained = in_half_precision(load_listener(workdir / NAME))
    save_listener(output, trained, notes | {"license": "Apache-2.0"})
    return load_listener(output), notes


def score_all(
    trained: ListenerModel, live: ListenerModel, clips: list[TestClip]
) -> dict[str, dict[str, float]]:
    """Scores of both, with and without what the first may lack, and of the listeners that hear nothing."""

    def listen(clip: TestClip, **without: np.ndarray) -> np.ndarray:
        features = clip.example.features.replace(**without)
        return trained.generate(features, clip.dyad.listener.values[0])

    def sound_alone(clip: TestClip) -> np.ndarray:
        return listen(clip, speaker_seen=np.zeros_like(clip.example.features.speaker_seen))

    def without_words(clip: TestClip) -> np.ndarray:
        return listen(clip, word_index=np.zeros_like(clip.example.features.word_index))

    def listen_live(clip: TestClip) -> np.ndarray:
        dyad = dataclasses.replace(clip.dyad, words=[])
        features = make_causal_example(dyad, shared_encoder()).features
        return live.generate(features, clip.dyad.listener.values[0])

    own = {"demo": listen, "demo, sound alone": sound_alone, "demo, no transcript": without_words}
    listeners = {**own, "demo, live": listen_live, **trivial_listeners(clips)}
    return {name: score(listens, clips) for name, listens in listeners.items()}


def markdown(table: dict[str, dict[str, float]]) -> str:
    """Scores as a table, one row a listener."""
    lines = ["| listener | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in table.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[column]:.3g}" for column in COLUMNS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/export_demo.py", description=__doc__)))
