"""Processor time of the motion stage, mean listener and drawn ones, as a share of the clip's length.

python tools/bench/motion_stage.py [--seconds 60] [--runs 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.features import MEL_BANDS, MFCC_SIZE, mel_steps
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.motion import FRAME_RATE


def noise(frames: int, coeff: int, word_size: int) -> SpeakerFeatures:
    """Features of nothing in particular: the work does not depend on them."""
    rng = np.random.default_rng(0)
    return SpeakerFeatures(
        log_mel=rng.uniform(-80, 0, (mel_steps(frames), MEL_BANDS)).astype(np.float32),
        mfcc=rng.normal(0, 10, (frames, MFCC_SIZE)).astype(np.float32),
        word_table=np.zeros((1, word_size), np.float32),
        word_index=np.zeros(frames, np.int32),
        speaker_motion=np.zeros((frames, coeff), np.float32),
        speaker_seen=np.zeros(frames, bool),
        in_clip=np.ones(frames, bool),
    )


def processor_s(run: Callable[[], object], runs: int) -> float:
    """Median over runs after one that compiles."""
    run()
    times = []
    for _ in range(runs):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    model = load_listener(options.checkpoint)
    features = noise(int(options.seconds * FRAME_RATE), model.space.size, model.word_size)
    portrait = np.zeros(model.space.size, np.float32)
    rows: dict[str, Callable[[], object]] = {"mean": lambda: model.generate(features, portrait)}
    if model.head:
        rows["drawn"] = lambda: model.draw(features, portrait, Draw())
        rows["five drawn"] = lambda: model.draw(features, portrait, Draw(), 5)
    for name, run in rows.items():
        seconds = processor_s(run, options.runs)
        print(f"{name:12} {seconds:.2f} s for {options.seconds:g} s: {seconds / options.seconds:.4f}")


if __name__ == "__main__":
    main()
