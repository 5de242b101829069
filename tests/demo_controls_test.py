"""The demo's traits on recordings of people: each moves what it is named after, and little else."""

import json
from pathlib import Path

import numpy as np
import pytest

from lhg_jax import media
from lhg_jax.contract import SpeakerFeatures
from lhg_jax.draw_options import TRAITS
from lhg_jax.generative import Draw
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.motion import FRAME_RATE, LANDMARK, Motion
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.extract import extract_speech
from lhg_jax.speech.words import Word
from lhg_jax.styles import traits_of

CLIPS, SEEDS, SECONDS = 4, 6, 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo():
    model = load_listener(None)
    if model.head is None:
        pytest.skip("the demo has no flow head")
    return model


@pytest.fixture(scope="module")
def clips(shared):
    """Sound alone of the longest recordings of different people, with their words."""
    folder = shared / "data" / "speech"
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["seconds"] >= SECONDS and isinstance(line["speaker"], str)]
    chosen = list({line["speaker"]: line for line in lines}.values())[-CLIPS:]
    encoder = BertEncoder.load(None)
    return [hear(folder, line, encoder) for line in chosen]


def hear(folder: Path, line: dict, encoder: BertEncoder) -> SpeakerFeatures:
    wave = media.read_audio(folder / line["file"])[: SECONDS * 16000]
    frames = int(SECONDS * FRAME_RATE)
    words = [Word(*word) for word in line.get("words", []) if word[1] < word[2] < SECONDS]
    speech = extract_speech(wave, frames, words, encoder)
    return SpeakerFeatures(
        log_mel=speech.log_mel,
        mfcc=speech.mfcc,
        word_table=speech.word_table,
        word_index=speech.word_index,
        speaker_motion=np.zeros((frames, LANDMARK.size), np.float32),
        speaker_seen=np.zeros(frames, bool),
        in_clip=np.ones(frames, bool),
    )


def mean_traits(demo, clips, **factors: float) -> dict[str, float]:
    portrait = np.zeros(LANDMARK.size, np.float32)
    rows = [
        traits_of(Motion(LANDMARK, values))
        for number, clip in enumerate(clips)
        for values in demo.draw(clip, portrait, Draw(SEEDS * number, factors=factors), SEEDS)
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in TRAITS}


@pytest.mark.parametrize("trait", TRAITS)
def test_a_trait_acts_in_its_own_direction_alone(demo, clips, trait):
    least, learned, most = (mean_traits(demo, clips, **{trait: factor}) for factor in (0.0, 1.0, 2.0))
    assert least[trait] < learned[trait] < most[trait]
    if trait != "liveliness":  # low in what its trait counts, nods are part of it
        assert least[trait] < 0.15 * learned[trait]
    own = (most[trait] - least[trait]) / learned[trait]
    # Who moves more in the training set also nods more, and --liveliness takes that along.
    for other in set(TRAITS) - {trait} - ({"nods"} if trait == "liveliness" else set()):
        assert abs(most[other] - least[other]) / learned[other] < own, other
