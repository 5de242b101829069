"""A BERT folder with random weights and a vocabulary of some texts in any script, written by the tests."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lhg_jax.speech.bert_files import BertConfig, _tensor_shapes

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_bert(folder: Path, texts: list[str], size: int = 16, seed: int = 0) -> Path:
    """A cased BERT whose pieces are the letters of `texts`, at the start of a word and inside of one."""
    letters = sorted({letter for text in texts for letter in text if not letter.isspace()})
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    config = BertConfig(len(pieces), size, 2, 4, 2 * size, 64)
    rng = np.random.default_rng(seed)
    tensors = {
        name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in _tensor_shapes(config).items()
    }
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **dataclasses.asdict(config)}))
    save_file(tensors, folder / "model.safetensors")
    return folder
