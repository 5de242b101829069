"""The ViCo baseline against recordings of the original, values and gradients of its own loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_helpers import COEFF, batch, perturb_padding, random_clip, random_variables
from recordings import assert_close, golden

from lhg_jax.models.vico_lstm import (
    ViCoConfig,
    ViCoListener,
    ViCoLSTM,
    our_order,
    vico_from_torch,
    vico_to_torch,
)
from lhg_jax.motion import DEEP3D_CROP
from lhg_jax.util.errors import UserError

OFFICIAL_PARTS = {"angle": (0, 3, 1.0), "exp": (3, 67, 0.001), "trans": (67, 70, 1.0), "crop": (70, 73, 1.0)}


def official_loss(predicted_BTC, target_BTC, lengths_B):
    """The baseline's loss as published, quirks included: the mean runs over padded rows too."""
    T = predicted_BTC.shape[1]
    keep_BT1 = (jnp.arange(T)[None] < lengths_B[:, None] - 1)[..., None]
    predicted_BTC = jnp.where(keep_BT1, predicted_BTC, 0.0)
    target_BTC = jnp.zeros_like(predicted_BTC).at[:, : T - 1].set(target_BTC)
    total = 0.0
    for start, stop, spiky_weight in OFFICIAL_PARTS.values():
        a, b = predicted_BTC[..., start:stop], target_BTC[..., start:stop]
        total += jnp.mean(jnp.linalg.norm(a - b + 1e-6, axis=-1))
        steps = jnp.diff(a, axis=1) - jnp.diff(b, axis=1) + 1e-6
        total += spiky_weight * jnp.mean(jnp.linalg.norm(steps, axis=-1))
    return total


@pytest.mark.parametrize("case", ["b3", "b2_short"])
def test_network_equals_original(shared, case):
    arrays, state = golden(shared, "vico_lstm", case)
    checkpoint = {f"module.{name}": array for name, array in state.items()}  # the official form
    params = vico_from_torch(checkpoint)
    order = our_order(73)
    audio, lengths = (jnp.asarray(arrays[f"in_{name}"]) for name in ("audio", "lengths"))
    driven, init = (jnp.asarray(arrays[f"in_{name}"][..., order]) for name in ("driven", "init"))
    inputs = audio, driven, init, lengths

    def loss(params):
        predicted = ViCoLSTM(ViCoConfig()).apply({"params": params}, *inputs, False)
        predicted = predicted[..., np.argsort(order)]
        return official_loss(predicted, jnp.asarray(arrays["in_target"]), lengths), predicted

    (value, predicted), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert_close(predicted, arrays["out_pred"], 4e-6)
    assert_close(value, arrays["out_total_loss"], 1e-6)
    gradients = vico_to_torch(gradient)
    recorded = [name for name in arrays if name.startswith("out_grad_")]
    assert len(recorded) == 5
    for name in recorded:
        assert_close(gradients[name.removeprefix("out_grad_")], arrays[name], 5.6e-6)


def test_checkpoints_convert_both_ways_and_wrong_ones_are_refused(shared):
    _, state = golden(shared, "vico_lstm", "b3")
    back = vico_to_torch(vico_from_torch(state))
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[name], state[name]) for name in state)
    with pytest.raises(UserError, match=r"a\.bin: .*missing: dynam_3dmm_fc\.bias"):
        vico_from_torch({k: x for k, x in state.items() if k != "dynam_3dmm_fc.bias"}, source="a.bin")


def test_our_order_is_that_of_the_space():
    official = np.concatenate([np.full(3, 1), np.full(64, 2), np.full(3, 3), np.full(3, 4)])
    ours = official[our_order(73)]
    for value, name in enumerate(("angle", "exp", "trans", "crop"), 1):
        assert (ours[DEEP3D_CROP.slice(name)] == value).all()


def test_listener_form_ignores_padding():
    model, lengths = ViCoListener(ViCoConfig(coeff=COEFF, hidden=4, layers=2)), [1, 2, 9]
    features = batch([random_clip(n) for n in lengths], 9)
    first = np.random.default_rng(1).standard_normal((3, COEFF), np.float32)
    variables = random_variables(model, features, first, train=False)

    def loss(params, features):
        output = model.apply({**variables, "params": params}, features, first, train=False)
        return jnp.sum(jnp.sin(output.motion)), output.motion

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    one = run(variables["params"], features)
    other = run(variables["params"], perturb_padding(features, lengths))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    np.testing.assert_array_equal(one[0][1][:, 0], first)
    assert not np.any(one[0][1][1, 2:])
