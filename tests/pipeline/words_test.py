"""Word encoders that users bring: clips, listeners and what is heard must be of the same one."""

import numpy as np
import pytest
from bert_folder import write_bert
from sample_helpers import random_listener, voice

import lhg_jax
from lhg_jax.contract import FeatureSpec, spec_from_json
from lhg_jax.listener_checkpoint import load_listener
from lhg_jax.motion import LANDMARK
from lhg_jax.preparation.synthetic_clips import SyntheticJob
from lhg_jax.speech.bert import BertEncoder
from lhg_jax.util.errors import UserError

WORDS = [lhg_jax.Word("你", 0.1, 0.3), lhg_jax.Word("好", 0.3, 0.6)]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("words") / "bert", ["你好 abcdefghijklmnopqrstuvwxyz'"])


def listener(path, folder):
    encoder = BertEncoder.load(folder)
    return random_listener(path, LANDMARK, encoder.size, encoder.name)


def test_words_are_read_by_the_encoder_that_is_named(bert, tmp_path):
    pipeline = lhg_jax.Pipeline(
        checkpoint=listener(tmp_path / "mine.safetensors", bert), asr="none", word_encoder=bert
    )
    features = pipeline.extract(lhg_jax.Clip(voice(1.0), sample_rate=16000, transcript=WORDS)).features
    np.testing.assert_array_equal(features.word_table, BertEncoder.load(bert).word_vectors(["你", "好"]))
    pipeline.model.require_features("this", pipeline.feature_spec, "")


@pytest.mark.parametrize("mine", [True, False])
def test_another_encoder_than_the_listener_was_trained_with(bert, tmp_path, mine):
    checkpoint = listener(tmp_path / "mine.safetensors", bert) if mine else None
    pipeline = lhg_jax.Pipeline(checkpoint=checkpoint, asr="none", word_encoder=None if mine else bert)
    clip = lhg_jax.Clip(voice(1.0), sample_rate=16000, transcript=WORDS)
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError, match=r"words (bert-2x16|all-MiniLM).*--word-encoder"):
        pipeline.animation.look = lambda *_: (image, None)
        pipeline.animation.animated = lambda *_: None
        pipeline(clip, image)


def test_clips_are_made_with_it_and_say_so(bert):
    job = SyntheticJob(0, 0, "train", word_encoder=bert)
    example, info = job.make()
    encoder = BertEncoder.load(bert)
    spec = spec_from_json(FeatureSpec, info.features)
    assert (spec.words, spec.word_size) == (encoder.name, encoder.size)
    spoken = example.features.word_table
    assert spoken.shape[1] == encoder.size and np.abs(spoken[1:]).max(axis=1).all()
    assert job.key != SyntheticJob(0, 0, "train").key
    with pytest.raises(UserError, match=r"words all-MiniLM.*words bert-2x16"):
        load_listener(None).require_features("the clips", spec, "")
