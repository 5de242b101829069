"""Audio and text encoders against recordings of HA2G, with weights rebuilt from the manifests."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recordings import assert_close, golden

from lhg_jax.models import ha2g
from lhg_jax.util.errors import UserError

# Ten times the float32-against-float64 difference measured for the original, relative to the largest value.
TOLERANCE = {"t70": 2e-5, "t182": 1e-5, "train_b4": 2.2e-5, "t34": 3.8e-6, "t90": 3.6e-6}


def run_audio(arrays, state, train: bool):
    module, variables = ha2g.audio_from_torch(state)
    log_mel_BMF = jnp.asarray(arrays["in_spec"]).transpose(0, 2, 1)
    mask_BM = jnp.ones(log_mel_BMF.shape[:2], bool)
    return jax.jit(lambda v, x: module.apply(v, x, mask_BM, train, mutable=["batch_stats"]))(
        variables, log_mel_BMF
    )


@pytest.mark.parametrize("case", ["t70", "t182"])
def test_audio_encoder_equals_original(shared, case):
    arrays, state = golden(shared, "ha2g_audio", case)
    levels, _ = run_audio(arrays, state, train=False)
    for name, level in zip(("low", "mid", "high"), levels, strict=True):
        assert_close(level, arrays[f"out_feat_{name}"], TOLERANCE[case])


def test_audio_encoder_training_equals_original(shared):
    """Batch statistics normalise (biased variance) and move the running ones (unbiased variance)."""
    arrays, state = golden(shared, "ha2g_audio", "train_b4")
    levels, updated = run_audio(arrays, state, train=True)
    for name, level in zip(("low", "mid", "high"), levels, strict=True):
        assert_close(level, arrays[f"out_feat_{name}"], TOLERANCE["train_b4"])
    _, variables = ha2g.audio_from_torch(state)
    after = ha2g.audio_to_torch({"params": variables["params"], **updated})
    recorded = [name for name in arrays if name.startswith("out_after_")]
    assert len(recorded) == 6
    for name in recorded:
        assert_close(after[name.removeprefix("out_after_")], arrays[name], 1e-6)


@pytest.mark.parametrize("case", ["t34", "t90"])
def test_text_encoder_equals_original(shared, case):
    arrays, state = golden(shared, "ha2g_text", case)
    module, variables, embedding = ha2g.text_from_torch(state)
    words_BTD = jnp.asarray(embedding)[arrays["in_tokens"]]
    assert_close(module.apply(variables, words_BTD, False), arrays["out_feat"], TOLERANCE[case])


def test_conversion_is_invertible(shared):
    _, audio = golden(shared, "ha2g_audio", "t70")
    _, text = golden(shared, "ha2g_text", "t34")
    back = ha2g.audio_to_torch(ha2g.audio_from_torch(audio)[1])
    assert back.keys() == audio.keys()
    assert all(np.array_equal(back[name], audio[name]) for name in audio)
    _, variables, embedding = ha2g.text_from_torch(text)
    back = ha2g.text_to_torch(variables, embedding)
    assert back.keys() == text.keys()
    assert all(np.array_equal(back[name], text[name]) for name in text)


def test_video_table_is_left_out(shared):
    _, audio = golden(shared, "ha2g_audio", "t70")
    table = {"speaker_embedding.0.weight": np.zeros((9, 16), np.float32), "fc2.bias": np.zeros(9, np.float32)}
    with_table, without = ha2g.audio_from_torch({**audio, **table}), ha2g.audio_from_torch(audio)
    assert with_table[0] == without[0]
    jax.tree.map(np.testing.assert_array_equal, with_table[1], without[1])


def test_wrong_state_dicts_are_refused(shared):
    _, audio = golden(shared, "ha2g_audio", "t70")
    missing = {name: x for name, x in audio.items() if name != "feat_extractor.bn_mid.bias"}
    with pytest.raises(UserError, match=r"a\.bin: .*missing: feat_extractor\.bn_mid\.bias"):
        ha2g.audio_from_torch(missing, "a.bin")
    reshaped = {**audio, "feat_extractor.fc_mid.weight": np.zeros((32, 62), np.float32)}
    with pytest.raises(UserError, match=r"fc_mid\.weight \(32, 62\) instead of \(32, 1984\)"):
        ha2g.audio_from_torch(reshaped)
    with pytest.raises(UserError, match="not an HA2G audio encoder"):
        ha2g.audio_from_torch({})
    _, text = golden(shared, "ha2g_text", "t34")
    alias = "tcn.network.2.net.4.weight_v"
    with pytest.raises(UserError, match=re.escape(f"{alias} and tcn.network.2.conv2.weight_v")):
        ha2g.text_from_torch({**text, alias: text[alias] + 1})
