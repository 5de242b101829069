"""Transcripts in any script, from the file to word vectors; and encoders that users bring."""

import shutil
import unicodedata

import numpy as np
import pytest
from bert_folder import write_bert

from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.cues import Cue, Word
from lhg_jax.speech.extract import extract_speech
from lhg_jax.speech.words import read_transcript

CHINESE = "你好，我们今天谈论天气。"
ARABIC = "أهلاً وسهلاً بكم، كيف حالك؟"
JAPANESE = "今日はいい天気ですね"
HINDI = "नमस्ते आप कैसे हैं"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "bert"
    return BertEncoder.load(write_bert(folder, [CHINESE, ARABIC, JAPANESE, HINDI, "café OK,"]))


def transcript(path, text, start="00:00:00,500", end="00:00:02,500"):
    path.write_text(f"1\n{start} --> {end}\n{text}\n", encoding="utf-8")
    return read_transcript(path)


@pytest.mark.parametrize(
    "text, count", [(CHINESE, 10), (ARABIC, 5), (JAPANESE, 10), (HINDI, 4), ("OK，你好 café", 4)]
)
def test_every_word_of_a_transcript_has_a_vector_of_its_own(encoder, tmp_path, text, count):
    words = transcript(tmp_path / "talk.srt", text)
    assert len(words) == count and words[0].start_s == 0.5 and words[-1].end_s == 2.5
    pieces = [encoder.tokenizer.encode(word.text, add_special_tokens=False).tokens for word in words]
    assert not any("[UNK]" in of_word or not of_word for of_word in pieces)
    heard = extract_speech(np.random.default_rng(0).normal(size=48000).astype(np.float32), 90, words, encoder)
    assert heard.word_table.shape == (count + 1, encoder.size) and not heard.word_table[0].any()
    assert len(np.unique(heard.word_table.round(4), axis=0)) == count + 1, "each stands in its own place"
    np.testing.assert_array_equal(np.unique(heard.word_index), np.arange(count + 1))
    assert not heard.word_index[:15].any() and heard.word_index[16:74].all()


def test_characters_of_chinese_share_the_time_alike():
    words = Cue("我们 今天", 1.0, 3.0).words()
    assert words == [Word(character, 1 + 0.5 * i, 1.5 + 0.5 * i) for i, character in enumerate("我们今天")]


@pytest.mark.parametrize("text", [ARABIC, "café", "한국어 말", "が ぎ", HINDI])
@pytest.mark.parametrize("form", ["NFD", "NFC", "NFKD"])
def test_a_letter_is_one_however_it_is_written(tmp_path, text, form):
    written = transcript(tmp_path / "a.srt", unicodedata.normalize(form, text))
    assert written == transcript(tmp_path / "b.srt", unicodedata.normalize("NFKC", text))


def test_letters_of_old_typesetting_are_ordinary_ones():
    assert [word.text for word in Cue("ﻻ ＡＢＣ　１２", 0.0, 1.0).words()] == ["لا", "ABC", "12"]


def test_an_encoder_is_known_by_its_contents(tmp_path):
    first = write_bert(tmp_path / "first", ["abc"])
    shutil.copytree(first, tmp_path / "moved")
    other = write_bert(tmp_path / "other", ["abc"], seed=1)
    names = [BertEncoder.load(folder).name for folder in (first, tmp_path / "moved", other)]
    assert names[0] == names[1] != names[2] and names[0].startswith("bert-2x16/")
    (tmp_path / "moved" / "vocab.txt").write_text((first / "vocab.txt").read_text().replace("c", "d"))
    assert BertEncoder.load(tmp_path / "moved").name != names[0]
