"""GRU and LSTM stacks: recordings of torch, padding, streaming, precision, export."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.models.rnn import GRUStack, LSTMStack, from_torch, to_torch
from lhg_jax.util.errors import UserError

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


def setup_stack(stack, lengths, time=9, features=5, seed=0):
    keys = jax.random.split(jax.random.key(seed), 2)
    x = jax.random.normal(keys[0], (len(lengths), time, features))
    lengths = jnp.asarray(lengths)
    return jax.jit(stack.init)(keys[1], x, lengths), x, lengths


def gradients(apply, variables, x, lengths):
    """Outputs, and gradients of a loss that weighs every output and every last state differently."""

    def objective(variables, x):
        outputs = jax.tree.map(lambda out: out.astype(jnp.float32), apply(variables, x, lengths))
        weighed = [
            (out * jnp.cos(jnp.arange(out.size)).reshape(out.shape)).sum() for out in jax.tree.leaves(outputs)
        ]
        return sum(weighed), outputs

    grads, outputs = jax.jit(jax.grad(objective, (0, 1), has_aux=True))(variables, x)
    return outputs, grads


@pytest.mark.parametrize("stack_class", STACKS)
def test_padding_never_matters(stack_class):
    stack = stack_class(4, 2)
    variables, x, lengths = setup_stack(stack, [1, 2, 9, 5])
    padding = jnp.arange(9)[None, :, None] >= lengths[:, None, None]
    outputs, grads = gradients(stack.apply, variables, x, lengths)
    again = gradients(stack.apply, variables, jnp.where(padding, jnp.nan, x), lengths)
    jax.tree.map(np.testing.assert_array_equal, again, (outputs, grads))
    assert not np.where(padding, outputs[0], 0).any()
    assert not np.where(padding, grads[1], 0).any() and np.abs(grads[1][:, 0]).min() > 0


def plain_loop(stack, cell, variables, x, lengths):
    """The stack without scan, masks or batches: one row, one step at a time."""
    params, rows = variables["params"], []
    for row, length in zip(x, lengths, strict=True):
        sequence, last = list(row[:length]), []
        for layer in range(stack.layers):
            halves = []
            for suffix in ["", "_reverse"]:
                parts = [
                    params[f"{part}_l{layer}{suffix}"]
                    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                ]
                state, outputs = (jnp.zeros(stack.hidden),) * (2 if stack.gates == 4 else 1), []
                for x_t in sequence[::-1] if suffix else sequence:
                    state = cell(x_t, state, *parts)
                    outputs.append(state[0])
                halves.append(outputs[::-1] if suffix else outputs)
                last.append(state)
            sequence = [jnp.concatenate(pair) for pair in zip(*halves, strict=True)]
        y = jnp.pad(jnp.stack(sequence), ((0, x.shape[1] - length), (0, 0)))
        rows.append((y, *map(jnp.stack, zip(*last, strict=True))))
    y, *states = zip(*rows, strict=True)
    states = tuple(jnp.stack(state, 1) for state in states)
    return jnp.stack(y), states if len(states) == 2 else states[0]


def gru_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = jnp.split(w_ih @ x + b_ih, 3), jnp.split(w_hh @ state[0] + b_hh, 3)
    r, z = 1 / (1 + jnp.exp(-x_r - h_r)), 1 / (1 + jnp.exp(-x_z - h_z))
    return (z * state[0] + (1 - z) * jnp.tanh(x_n + r * h_n),)


def lstm_cell(x, state, w_ih, w_hh, b_ih, b_hh):
    i, f, g, o = jnp.split(w_ih @ x + b_ih + w_hh @ state[0] + b_hh, 4)
    i, f, o = (1 / (1 + jnp.exp(-gate)) for gate in (i, f, o))
    c = f * state[1] + i * jnp.tanh(g)
    return o * jnp.tanh(c), c


@pytest.mark.parametrize(("stack_class", "cell"), [(GRUStack, gru_cell), (LSTMStack, lstm_cell)])
def test_equals_plain_loop_in_value_and_gradient(stack_class, cell):
    stack = stack_class(3, 2)
    variables, x, lengths = setup_stack(stack, [2, 4], time=4, features=2)
    actual = gradients(stack.apply, variables, x, lengths)
    expected = gradients(lambda v, x, _: plain_loop(stack, cell, v, x, (2, 4)), variables, x, lengths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), actual, expected)


@pytest.mark.parametrize("stack_class", STACKS)
def test_no_step_copies_the_hidden_weights_out_of_one_array(stack_class):
    """XLA:CPU did so at every step where both directions were taken apart inside the scan."""
    stack = stack_class(7, 1)
    variables, x, lengths = setup_stack(stack, [9, 5])
    rows = stack.gates * stack.hidden
    of_one = {(rows, stack.hidden), (stack.hidden, rows)}
    jaxpr = jax.make_jaxpr(lambda v: gradients(stack.apply, v, x, lengths))(variables)
    bodies = list(scans(jaxpr.jaxpr))
    assert len(bodies) == 2
    made = {v.aval.shape for body in bodies for eqn in body.eqns for v in eqn.outvars}
    assert not made & of_one


def scans(jaxpr):
    """The bodies of all scans in a program."""
    for eqn in jaxpr.eqns:
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from [inner] if eqn.primitive.name == "scan" else scans(inner)


@pytest.mark.parametrize("stack_class", STACKS)
def test_step_by_step_equals_whole_sequence(stack_class):
    stack = stack_class(4, 3, bidirectional=False)
    variables, x, lengths = setup_stack(stack, [9, 9])
    apply = jax.jit(stack.apply)
    whole, last = apply(variables, x, lengths)
    state, pieces = None, []
    for piece in np.split(np.arange(9), [1, 2, 3, 7]):
        y, state = apply(variables, x[:, piece], jnp.full(2, len(piece)), state)
        pieces.append(y)
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state, last)


@pytest.mark.parametrize("stack_class", STACKS)
def test_one_direction_is_causal(stack_class):
    stack = stack_class(4, 2, bidirectional=False)
    variables, x, lengths = setup_stack(stack, [9])
    past = jax.jit(jax.grad(lambda x: stack.apply(variables, x, lengths)[0][0, 4].sum()))(x)
    assert not past[:, 5:].any() and np.abs(past[:, :5]).min() > 0
    both = stack_class(4, 2)
    variables, x, lengths = setup_stack(both, [9])
    assert jax.jit(jax.grad(lambda x: both.apply(variables, x, lengths)[0][0, 4].sum()))(x)[:, 5:].any()


@pytest.mark.parametrize("stack_class", STACKS)
def test_checkpoint_and_vmap_change_nothing(stack_class):
    stack = stack_class(4, 2)
    variables, x, lengths = setup_stack(stack, [9, 5])
    plain = gradients(stack.apply, variables, x, lengths)
    again = gradients(jax.checkpoint(stack.apply), variables, x, lengths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), again, plain)
    rows = jax.jit(jax.vmap(lambda x, n: stack.apply(variables, x[None], n[None])[0][0]))(x, lengths)
    np.testing.assert_allclose(rows, plain[0][0], atol=1e-6)


@pytest.mark.parametrize("stack_class", STACKS)
def test_bfloat16_keeps_a_float32_state(stack_class):
    exact, rough = stack_class(16, 1), stack_class(16, 1, dtype=jnp.bfloat16)
    variables, x, lengths = setup_stack(exact, [200], time=200)
    y, state = jax.eval_shape(rough.apply, variables, x, lengths)
    assert y.dtype == jnp.bfloat16
    assert {s.dtype for s in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}
    (outputs, grads), expected = (gradients(s.apply, variables, x, lengths) for s in (rough, exact))
    np.testing.assert_allclose(outputs[0], expected[0][0], atol=0.02)
    for a, b in zip(*map(jax.tree.leaves, (grads, expected[1])), strict=True):
        assert a.dtype == jnp.float32 and np.linalg.norm(a - b) < 0.03 * np.linalg.norm(b)


@pytest.mark.parametrize("stack_class", STACKS)
def test_export_and_forward_has_no_reverse_scan(stack_class):
    stack = stack_class(4, 2)
    variables, x, lengths = setup_stack(stack, [9, 5])
    exported = jax.export.export(jax.jit(stack.apply))(variables, x, lengths)
    expected = gradients(stack.apply, variables, x, lengths)[0]
    np.testing.assert_allclose(exported.call(variables, x, lengths)[0], expected[0], atol=1e-6)
    assert "reverse=True" not in str(jax.make_jaxpr(stack.apply)(variables, x, lengths))


@pytest.mark.parametrize("stack_class", STACKS)
def test_dropout_only_between_layers_and_only_in_training(stack_class):
    for layers in (1, 2):
        stack = stack_class(4, layers, bidirectional=False, dropout=0.5)
        variables, x, lengths = setup_stack(stack, [9])
        still = stack.apply(variables, x, lengths)[0]
        rngs = {"dropout": jax.random.key(1)}
        dropped = stack.apply(variables, x, lengths, deterministic=False, rngs=rngs)[0]
        assert np.array_equal(dropped, still) == (layers == 1)


def test_torch_weights_round_trip_and_errors():
    stack = GRUStack(4, 2)
    variables, _, _ = setup_stack(stack, [9])
    state_dict = {**to_torch(variables["params"], "decoder.gru."), "decoder.output.weight": np.zeros(3)}
    back = from_torch(stack, state_dict, "decoder.gru.")
    jax.tree.map(np.testing.assert_array_equal, back, dict(variables["params"]))
    with pytest.raises(
        UserError, match=r"8 differ, first decoder.gru.bias_hh_l1 \(needs None, has \(12,\)\)"
    ):
        from_torch(GRUStack(4, 1), state_dict, "decoder.gru.")
    with pytest.raises(UserError, match=r"bias_hh_l0 \(needs \(12,\), has None\)"):
        from_torch(GRUStack(4, 1, bidirectional=False), {})
