"""Scores the finished runs of the evidence grid, and listeners that learn nothing, on held-out dyads.

  python tools/evidence_scores.py --sweep out/evidence/sweep --speech RECORDINGS

Leaves `scores.json` in each run's folder: of each clip and pooled, with the hashes of the run's config.json
and metrics.jsonl, and `examples.npz`, motions of a few clips. What is scored already is left as it is;
`tools/evidence_table.py` makes the table.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from evidence_clips import ClipOptions, HeldOut, held_out, references
from evidence_pooled import pooled_scores
from sweep_table import RESULT

from lhg_jax.features import crop_features
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import ListenerModel, load_listener
from lhg_jax.metrics.per_video import frdiv
from lhg_jax.metrics.retrieval import WordItems, numbered, retrieval, word_features
from lhg_jax.models.listener import Listener
from lhg_jax.simulator.benchmark import TestClip, clip_scores
from lhg_jax.training.identity import SETTINGS
from lhg_jax.training.listener_file import NAME
from lhg_jax.util.atomic import replacing
from lhg_jax.util.errors import UserError, run_cli
from lhg_jax.util.progress import say

SCORES, EXAMPLES, REFERENCES = "scores.json", "examples.npz", "references"
LOG = "metrics.jsonl"
SAMPLES = 2  # of a listener with a head; the first is scored


@dataclasses.dataclass(frozen=True)
class Options(ClipOptions):
    """Which runs, and on which clips."""

    causal_clips: Path = Path("out/evidence/causal_test")
    """The held-out clips, prepared with --causal."""
    train: Path | None = Path("out/evidence/train")
    """Training clips, among which the nearest speaker is looked for."""
    limit: int = 200
    """Most clips, >= 1."""
    examples: int = 3
    """Clips whose motions are kept: those in which most happens."""


def main(options: Options) -> None:
    about = held_out(options.clips, options.causal_clips, options.speech, options.speech_cache, options.limit)
    runs = sorted(path.parent for path in options.sweep.glob(f"*/seed*/{RESULT}"))
    todo = [run for run in runs if not is_scored(run) and (run / SETTINGS).exists()]
    for workdir in todo:
        say(f"{workdir}")
        score_run(workdir, about, options)
    for name, listens in references(about.clips, options.train).items():
        folder = options.sweep / REFERENCES / name
        if not (folder / SCORES).exists():
            motions = [listens(clip) for clip in about.clips]
            write(
                folder, {"name": name, "seed": 0} | score_motions(motions, about.clips, about), options, about
            )
            keep_examples(folder, motions, about, options.examples)


def is_scored(workdir: Path) -> bool:
    """Whether there are scores of the run as it is now."""
    try:
        found = json.loads((workdir / SCORES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found.get("hashes") == hashes(workdir)


def hashes(workdir: Path) -> dict[str, str]:
    """sha256 of what says which run it was, and how it went. Raises `UserError` where a file is missing."""
    try:
        return {name: hashlib.sha256((workdir / name).read_bytes()).hexdigest() for name in (SETTINGS, LOG)}
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error


def score_run(workdir: Path, about: HeldOut, options: Options) -> None:
    """Scores one run, and keeps its examples."""
    result = json.loads((workdir / RESULT).read_text(encoding="utf-8"))
    model = load_listener(workdir / NAME)
    clips = about.seen_by(model.features.causal)
    if not clips:
        raise UserError(f"{options.causal_clips}: no such clips, which {workdir} needs")
    listen = drawn(model) if model.head else mean(model)
    samples = [listen(number, clip) for number, clip in enumerate(clips)]
    motions = [motion[0] for motion in samples]
    scores = {"name": result["name"], "seed": result["seed"], "minutes": result["minutes"]}
    scores |= {"hashes": hashes(workdir), "training": model.training}
    scores |= score_motions(motions, clips, about)
    if model.head:
        scores["pooled"]["frdiv"] = float(np.mean([frdiv(list(motion)) for motion in samples]))
    scores["retrieval"] = retrieval_of(model, clips, about)
    write(workdir, scores, options, about)
    keep_examples(workdir, motions, about, options.examples)


def mean(model: ListenerModel) -> Callable[[int, TestClip], np.ndarray]:
    """The listener that a model without a head is."""
    return lambda _, clip: model.generate(clip.example.features, first_frame(clip))[None]


def drawn(model: ListenerModel) -> Callable[[int, TestClip], np.ndarray]:
    """Listeners by seeds that the clip's number gives."""
    return lambda number, clip: model.draw(
        clip.example.features, first_frame(clip), Draw(SAMPLES * number), SAMPLES
    )


def first_frame(clip: TestClip) -> np.ndarray:
    """Of the true listener."""
    return clip.dyad.listener.values[0].astype(np.float32)


def score_motions(motions: Sequence[np.ndarray], clips: Sequence[TestClip], about: HeldOut) -> dict[str, Any]:
    """`clips`: metric -> value of each clip; `pooled`: what only all clips together have."""
    rows = [clip_scores(motion, clip) for motion, clip in zip(motions, clips, strict=True)]
    by_clip = {name: [row[name] for row in rows] for name in rows[0]}
    return {"clips": by_clip, "pooled": pooled_scores(motions, about), "speakers": about.speakers}


def retrieval_of(model: ListenerModel, clips: Sequence[TestClip], about: HeldOut) -> dict[str, float]:
    """Text -> audio; empty for a model that has no text features."""
    if not isinstance(model.model, Listener) or not model.model.config.use_text:
        return {}
    apply = jax.jit(lambda variables, *given: model.model.apply(variables, *given, train=False))
    variables = jax.device_put(model.variables)
    spec, parts, places, words = model.inference, [], [], []
    for number, clip in enumerate(clips):
        features, said = clip.example.features, [word.text for word in clip.dyad.words]
        for start in range(0, features.frames, spec.window):
            window = crop_features(features, start, spec.window, spec.max_words)
            batch = jax.tree.map(lambda leaf: np.asarray(leaf)[None], window)
            output = apply(variables, batch, first_frame(clip)[None])
            text, audio, rows = word_features(output, window)
            spoken = features.word_index[start : start + spec.window]
            own = np.unique(spoken[spoken > 0])[rows - 1] - 1
            parts.append((text, audio))
            places += [number] * len(rows)
            words += [said[row] for row in own]
    text, audio = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return retrieval(WordItems(text, audio, np.array(places, np.int64), numbered(words)))


def keep_examples(folder: Path, motions: Sequence[np.ndarray], about: HeldOut, count: int) -> None:
    """Motions of the clips in which most nods and shakes are foreseen."""
    with replacing(folder / EXAMPLES) as temporary, open(temporary, "wb") as file:
        kept = {about.clips[i].dyad.uuid: motions[i] for i in liveliest(about, count)}
        np.savez_compressed(file, **kept)


def liveliest(about: HeldOut, count: int) -> list[int]:
    """Numbers of clips, one a speaker."""
    amount = [sum(e.kind in ("nod", "shake") for e in clip.dyad.events) for clip in about.clips]
    chosen: dict[str, int] = {}
    for number in np.argsort(-np.array(amount), kind="stable"):
        chosen.setdefault(about.speakers[number], int(number))
    return list(chosen.values())[:count]


def write(folder: Path, scores: Mapping[str, Any], options: Options, about: HeldOut) -> None:
    """As JSON, what is no number as null."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = {**scores, "clips_of": about.source.fingerprint, "limit": options.limit}
    with replacing(folder / SCORES) as temporary:
        temporary.write_text(json.dumps(finite(scores)), encoding="utf-8")


def finite(value: Any) -> Any:
    """The same with six digits, and without NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


if __name__ == "__main__":
    run_cli(lambda: main(tyro.cli(Options, prog="python tools/evidence_scores.py", description=__doc__)))
