"""GRU and LSTM stacks: recordings of torch, padding, streaming, precision, export."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.errors import UserError
from lhg_jax.models.rnn import GRUStack, LSTMStack, from_torch, to_torch

TOLERANCE = {"gru6": 10 * 8.9e-7, "lstm2": 10 * 6.3e-7}  # golden README: 10 x its last column
STACKS = [GRUStack, LSTMStack]


def assert_close(actual, expected, tolerance, name=""):
    """Largest difference relative to the largest value."""
    expected = np.asarray(expected)
    error = np.abs(np.asarray(actual, np.float64) - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{name}: {error:.2e} > {tolerance:.2e}"


def golden(shared, model):
    folder = shared / "golden"
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    data = dict(np.load(folder / f"{model}.b3.npz"))
    manifest = json.loads((folder / f"{model}.manifest.json").read_text())
    return data, fill.state_dict(manifest, int(data["weight_seed"]))


def check_weight_gradients(data, grads, tolerance):
    names = [k for k in data if k.startswith(("out_grad_weight", "out_grad_bias"))]
    assert names
    for key in names:
        name, _, form = key.removeprefix("out_grad_").partition("__")
        grad = np.asarray(grads[name])
        value = grad[::8, ::8] if form == "sub8" else np.linalg.norm(grad) if form == "norm" else grad
        assert_close(value, data[key], tolerance, key)


def test_gru_equals_torch_recording(shared):
    data, weights = golden(shared, "gru6")
    stack = GRUStack(256, 6)
    params = from_torch(stack, weights)

    def objective(params, x, h0):
        y, h = stack.apply({"params": params}, x, jnp.asarray(data["in_lengths"]), h0)
        return (y * data["in_out_weight"]).sum(), (y, h)

    grad = jax.jit(jax.grad(objective, (0, 1, 2), has_aux=True))
    (grads, grad_x, grad_h0), (y, h) = grad(params, data["in_x"], data["in_h0"])
    for name, value in [("y", y), ("h_n", h), ("grad_x", grad_x), ("grad_h0", grad_h0)]:
        assert_close(value, data[f"out_{name}"], TOLERANCE["gru6"], name)
    check_weight_gradients(data, grads, TOLERANCE["gru6"])


def test_lstm_equals_torch_recording(shared):
    data, weights = golden(shared, "lstm2")
    stack = LSTMStack(96, 2, bidirectional=False, use_bias=False)
    params = from_torch(stack, weights)

    def objective(params, x, h0, c0):
        y, state = stack.apply({"params": params}, x, jnp.asarray(data["in_lengths"]), (h0, c0))
        return (y * data["in_out_weight"]).sum(), (y, *state)

    grad = jax.jit(jax.grad(objective, (0, 1, 2, 3), has_aux=True))
    (grads, *others), outputs = grad(params, data["in_x"], data["in_h0"], data["in_c0"])
    names = ["y", "h_n", "c_n", "grad_x", "grad_h0", "grad_c0"]
    for name, value in zip(names, [*outputs, *others], strict=True):
        assert_close(value, data[f"out_{name}"], TOLERANCE["lstm2"], name)
    check_weight_gradients(data, grads, TOLERANCE["lstm2"])
