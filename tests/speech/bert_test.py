import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lhg_jax.speech.bert import BertEncoder
from lhg_jax.speech.bert_files import minilm_folder
from lhg_jax.util.errors import UserError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SENTENCE = [
    "Well,",
    "I",
    "don't",
    "know",
    "whether",
    "she'd",
    "really",
    "have",
    "enjoyed",
    "the",
    "extraordinarily",
    "long",
    "préface",
]


@pytest.fixture(scope="module")
def minilm():
    return BertEncoder.load()


@pytest.fixture
def tiny(tmp_path):
    """A random BERT of our own sizes as Hugging Face writes it, and the PyTorch model."""
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=30522, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=64, hidden_act="gelu_new", layer_norm_eps=1e-6, initializer_range=0.5,
    )  # fmt: skip
    model = transformers.BertModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        shutil.copy(minilm_folder() / name, tmp_path / name)
    return tmp_path, model


def torch_hidden(model, pieces):
    with torch.no_grad():
        return model(torch.tensor([pieces])).last_hidden_state[0].numpy()


def random_pieces(count, seed=0):
    return [101, *np.random.default_rng(seed).integers(1000, 30000, count - 2).tolist(), 102]


def rewrite(folder, change):
    """Passes the tensors of a folder through `change`."""
    path = folder / "model.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in change(load_file(path)).items()}, path)


@pytest.mark.parametrize("count", [3, 31, 32, 33, 200])
def test_minilm_equals_pytorch_with_any_padding(minilm, count):
    model = transformers.BertModel.from_pretrained(minilm_folder(), local_files_only=True).eval()
    pieces = random_pieces(count)
    np.testing.assert_allclose(minilm.hidden_states(pieces), torch_hidden(model, pieces), atol=1e-4)


@pytest.mark.parametrize("count", [5, 40, 64])
def test_random_bert_equals_pytorch(tiny, count):
    folder, model = tiny
    pieces = random_pieces(count, seed=count)
    result = BertEncoder.load(folder).hidden_states(pieces)
    np.testing.assert_allclose(result, torch_hidden(model, pieces), atol=1e-4)


def test_prefixed_and_old_names_and_heads_are_understood(tiny):
    folder, model = tiny

    def rename(tensors):
        old = {
            f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "Norm.bias", "Norm.beta"
            ): value
            for key, value in tensors.items()
        }
        extra = {"cls.predictions.bias": np.zeros(4), "bert.embeddings.position_ids": np.arange(64)[None]}
        return old | extra

    rewrite(folder, rename)
    pieces = random_pieces(12)
    result = BertEncoder.load(folder).hidden_states(pieces)
    np.testing.assert_allclose(result, torch_hidden(model, pieces), atol=1e-4)


def test_half_precision_weights_are_read(tiny):
    folder, model = tiny
    model.to(torch.bfloat16).save_pretrained(folder)
    pieces = random_pieces(12)
    result = BertEncoder.load(folder).hidden_states(pieces)
    np.testing.assert_allclose(result, torch_hidden(model.float(), pieces), atol=1e-4)


def test_word_vector_is_the_mean_of_its_pieces(minilm):
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder(), local_files_only=True)
    model = transformers.BertModel.from_pretrained(minilm_folder(), local_files_only=True).eval()
    encoded = tokenizer(SENTENCE, is_split_into_words=True)
    hidden = torch_hidden(model, encoded["input_ids"])
    word_of_piece = np.array([-1 if word is None else word for word in encoded.word_ids()])
    table = minilm.word_vectors(SENTENCE)
    assert table.shape == (len(SENTENCE) + 1, 384) and table.dtype == np.float32
    assert not table[0].any()
    for word in range(len(SENTENCE)):
        np.testing.assert_allclose(table[word + 1], hidden[word_of_piece == word].mean(axis=0), atol=1e-4)


def test_case_does_not_matter_and_context_does(minilm):
    lower = minilm.word_vectors(["the", "river", "bank"])
    np.testing.assert_array_equal(minilm.word_vectors(["The", "River", "BANK"]), lower)
    assert np.abs(minilm.word_vectors(["the", "money", "bank"])[3] - lower[3]).max() > 0.1


def test_long_transcript_is_read_in_context(tiny):
    encoder = BertEncoder.load(tiny[0])  # 62 pieces a window
    words = np.random.default_rng(0).choice(["dog", "house", "blue", "running", "unbelievably"], 150).tolist()
    table = encoder.word_vectors(words)
    assert np.isfinite(table).all() and (np.abs(table[1:]).max(axis=1) > 0).all()
    np.testing.assert_allclose(table[1:10], encoder.word_vectors(words[:60])[1:10], atol=0.5)
    changed = encoder.word_vectors([*words[:75], "dinosaur", *words[76:]])
    assert np.abs(changed - table)[71:75].max() > 1e-4  # words before it saw it


def test_long_transcript_of_minilm_resembles_its_part(minilm):
    words = (SENTENCE * 30)[:310]
    whole, part = minilm.word_vectors(words), minilm.word_vectors(words[:100])
    cosine = (
        (whole[1:61] * part[1:61]).sum(1)
        / np.linalg.norm(whole[1:61], axis=1)
        / np.linalg.norm(part[1:61], axis=1)
    )
    assert cosine.min() > 0.6


@pytest.mark.parametrize("words", [[], [""], ["", "yes"], ["—"], ["漢字"], ["a." * 400], ["x" * 5000]])
def test_odd_words(minilm, words):
    table = minilm.word_vectors(words)
    assert table.shape == (len(words) + 1, 384)
    assert np.isfinite(table).all()
    assert not table[0].any()


def drop(tensors):
    return {key: value for key, value in tensors.items() if "layer.1.output.dense" not in key}


def add(tensors):
    return tensors | {"encoder.layer.3.output.dense.bias": np.zeros(24, np.float32)}


def reshape(tensors):
    return tensors | {"embeddings.word_embeddings.weight": np.zeros((9, 24), np.float32)}


@pytest.mark.parametrize(
    "change, words",
    [
        (drop, r"encoder.layer.1.output.dense.weight is missing; .*dense.bias is missing$"),
        (add, "encoder.layer.3.output.dense.bias is unknown"),
        (reshape, r"word_embeddings.weight has shape \(9, 24\), not \(30522, 24\)"),
    ],
)
def test_weights_that_do_not_fit(tiny, change, words):
    rewrite(tiny[0], change)
    with pytest.raises(UserError, match=words):
        BertEncoder.load(tiny[0])


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("config.json", "{", "not the configuration"),
        ("config.json", json.dumps({"model_type": "bert"}), "not the configuration"),
        ("model.safetensors", "nonsense", "not a readable safetensors file"),
        ("tokenizer.json", "{}", "no usable tokenizer.json"),
        ("config.json", None, "no such file"),
        ("model.safetensors", None, "no such file"),
    ],
)
def test_unusable_folder(tiny, name, content, words):
    path = tiny[0] / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(UserError, match=words) as caught:
        BertEncoder.load(tiny[0])
    assert "\n" not in str(caught.value)


def test_other_models_are_refused(tiny):
    config = json.loads((tiny[0] / "config.json").read_text())
    (tiny[0] / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}))
    with pytest.raises(UserError, match="'roberta'"):
        BertEncoder.load(tiny[0])


def test_vocabulary_alone_is_enough(tiny):
    want = BertEncoder.load(tiny[0]).word_vectors(SENTENCE)
    (tiny[0] / "tokenizer.json").unlink()
    np.testing.assert_array_equal(BertEncoder.load(tiny[0]).word_vectors(SENTENCE), want)


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        BertEncoder.load(tmp_path / "none")
