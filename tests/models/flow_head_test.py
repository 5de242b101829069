"""The flow head: its parts, and that one chunk after the other is what a whole clip gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lhg_jax.generative import BLOCK, Draw, ListenerHead, TrunkOutput, draw_motion
from lhg_jax.models import chunks
from lhg_jax.models.chunks import Constants
from lhg_jax.models.flow_head import ChunkInputs, FlowHead, FlowHeadConfig, example_inputs
from lhg_jax.styles import CODE_SIZE, ListenerStyle

SMALL = FlowHeadConfig(
    coeff=7, state=5, components=3, chunk=2, history=4, memory=2, innovations=5, width=16, blocks=1, steps=2
)


def random_head(config: FlowHeadConfig = SMALL, seed: int = 0) -> ListenerHead:
    """A head whose parameters are all random, the gates too."""
    rng = np.random.default_rng(seed)
    head = FlowHead(config)
    variables = head.init(jax.random.key(seed), *example_inputs(config))
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(0, 0.2, x.shape), jnp.float32), variables["params"]
    )
    constants = random_constants(rng, config)._asdict()
    variables = {"params": params, "constants": jax.tree.map(jnp.asarray, constants)}
    styles = np.stack([ListenerStyle(*rng.uniform(size=5), attitude="neutral").code() for _ in range(5)])
    return ListenerHead(head, variables, styles)


def random_constants(rng: np.random.Generator, config: FlowHeadConfig) -> Constants:
    """Components and innovations that invert; a forecast that dies out."""
    k, z, numbers = config.components, config.innovations, config.chunk * config.components
    basis = np.linalg.qr(rng.normal(size=(config.coeff, k)))[0]
    scale, unit = rng.uniform(0.5, 2, k), rng.uniform(0.5, 2, config.coeff)
    turn, sizes = np.linalg.qr(rng.normal(size=(numbers, z)))[0], rng.uniform(0.1, 0.3, z)
    constants = Constants(
        analysis=basis / unit[:, None] / scale,
        synthesis=(basis * scale).T * unit,
        largest=np.full(k, 12.0),
        pace=rng.uniform(0.1, 0.3, 2 * k),
        forecast=rng.normal(0, 0.05, (2 * k * (1 + config.memory) + numbers, numbers)),
        whiten=turn / sizes,
        colour=(turn * sizes).T,
    )
    return Constants(*(x.astype(np.float32) for x in constants))


def random_inputs(batch: int, config: FlowHeadConfig = SMALL, seed: int = 2) -> ChunkInputs:
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=(batch, *shape)).astype(np.float32)

    return ChunkInputs(
        state=normal(config.chunk, config.state),
        mean=normal(config.chunk, config.components),
        past=normal(config.history, 2 * config.components),
        known=rng.random((batch, config.history)) < 0.7,
        style=normal(CODE_SIZE),
    )


def random_trunk(frames: int, seed: int = 1) -> TrunkOutput:
    rng = np.random.default_rng(seed)
    motion = rng.normal(size=(frames, SMALL.coeff)).astype(np.float32)
    return TrunkOutput(motion, rng.normal(size=(frames, SMALL.state)).astype(np.float32))


def test_components_invert_within_their_span():
    own = random_head()
    components = np.random.default_rng(0).normal(size=(4, SMALL.components)).astype(np.float32)
    change = chunks.to_change(own.variables, components)
    again = chunks.to_components(own.variables, change)
    np.testing.assert_allclose(again, components, rtol=1e-4, atol=1e-5)


def test_innovations_and_residuals_lead_to_each_other():
    own, inputs = random_head(), random_inputs(5)
    drawn = np.random.default_rng(0).normal(size=(5, SMALL.innovations)).astype(np.float32)
    residuals = chunks.to_residuals(SMALL, own.variables, inputs, drawn)
    again = chunks.to_innovation(SMALL, own.variables, inputs, residuals)
    np.testing.assert_allclose(again, drawn, rtol=1e-3, atol=1e-4)


def test_a_forecast_of_nothing_new_stays_where_it_was():
    own, inputs = random_head(), random_inputs(1)
    still = np.zeros_like(own.variables["constants"]["forecast"])
    variables = {"constants": {**own.variables["constants"], "forecast": still}}
    expected = np.repeat(inputs.past[:, -1:, :3], SMALL.chunk, axis=1)
    np.testing.assert_array_equal(chunks.forecast(SMALL, variables, inputs), expected)


def test_what_a_chunk_is_forecast_from():
    inputs = random_inputs(3)
    rows = np.asarray(chunks.approach(inputs.past, inputs.mean, SMALL.memory))
    last, before, after = np.split(rows, [6, 18], axis=1)
    np.testing.assert_array_equal(last, inputs.past[:, -1])
    np.testing.assert_allclose(before[:, 6:], inputs.past[:, -1] - inputs.past[:, -2], rtol=1e-6)
    np.testing.assert_allclose(before[:, :6], inputs.past[:, -2] - inputs.past[:, -3], rtol=1e-6)
    np.testing.assert_allclose(after[:, :3], inputs.mean[:, 0] - inputs.past[:, -1, 3:], rtol=1e-5)
    np.testing.assert_allclose(after[:, 3:], inputs.mean[:, 1] - inputs.mean[:, 0], rtol=1e-5)


def test_frames_that_are_not_known_do_not_reach_the_network():
    own, inputs = random_head(), random_inputs(4)
    other = inputs.replace(past=np.where(inputs.known[..., None], inputs.past, 9.0))
    hears = np.ones(4, bool)
    conditions = [own.head.apply(own.variables, x, hears, method="condition") for x in (inputs, other)]
    np.testing.assert_allclose(*conditions, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 2, 2 * BLOCK + 1, 4 * BLOCK + 4])
def test_a_clip_is_its_chunks_one_after_the_other(frames):
    own, trunk = random_head(), random_trunk(frames)
    style = ListenerStyle(0.2, 0.4, 0.6, 0.8, 0.9, "positive")
    motion = draw_motion(own, trunk, [style], [3], 0.7)[0]
    np.testing.assert_array_equal(motion[0], trunk.motion[0])
    noise = 0.7 * np.random.default_rng([3, 0]).standard_normal((frames, SMALL.innovations), np.float32)
    memory = chunks.begin(SMALL, 1)
    change = np.asarray(chunks.to_components(own.variables, trunk.motion - trunk.motion[:1]))
    for start in range(1, frames - 1, 2):
        part = slice(start, start + 2)
        inputs = (trunk.state[None, part], change[None, part], style.code()[None], noise[None, start // 2])
        memory, drawn = chunks.draw_chunk(own.head, own.variables, memory, *inputs)
        residual = chunks.to_change(own.variables, drawn)[0]
        np.testing.assert_allclose(motion[part], trunk.motion[part] + residual, rtol=1e-3, atol=1e-3)


def test_no_draw_leaves_the_largest_of_the_training_set():
    own = random_head()
    trunk = random_trunk(200)
    free = draw_motion(own, trunk, [ListenerStyle()], [0], 5.0)[0] - trunk.motion
    held = {**own.variables["constants"], "largest": jnp.asarray([0.5, 1.0, 1.5])}
    own = ListenerHead(own.head, {**own.variables, "constants": held}, own.styles)
    drawn = draw_motion(own, trunk, [ListenerStyle()], [0], 5.0)[0] - trunk.motion
    sizes = [np.abs(chunks.to_components(own.variables, x)).max(axis=0) for x in (free, drawn)]
    assert (np.asarray(sizes[0]) > 2).all()
    np.testing.assert_allclose(sizes[1], [0.5, 1.0, 1.5], rtol=1e-4)


def test_samples_of_one_call_are_those_of_single_calls():
    own, trunk = random_head(), random_trunk(70)
    styles = [ListenerStyle(), ListenerStyle(1.0, 1.0, 1.0, 1.0)]
    both = draw_motion(own, trunk, styles, [5, 6], 1.0)
    for i in range(2):
        alone = draw_motion(own, trunk, styles[i : i + 1], [5 + i], 1.0)[0]
        np.testing.assert_allclose(both[i], alone, rtol=1e-3, atol=1e-3)
    assert np.abs(both[0] - both[1]).max() > 0.1


def test_guidance_of_one_is_none_and_the_deaf_hear_nothing():
    own, trunk = random_head(), random_trunk(9)
    inputs, x, _, _ = example_inputs(SMALL)
    inputs = inputs.replace(state=trunk.state[None, 1:3])
    x = x + 0.5

    def velocity(hears, state):
        moved = inputs.replace(state=state)
        return np.asarray(own.head.apply(own.variables, moved, x, jnp.full(1, 0.3), jnp.array([hears])))

    np.testing.assert_array_equal(velocity(False, inputs.state), velocity(False, inputs.state + 1))
    assert np.abs(velocity(True, inputs.state) - velocity(True, inputs.state + 1)).max() > 1e-3
    guided = FlowHead(FlowHeadConfig(**{**SMALL.__dict__, "guidance": 1.0 + 1e-6}))
    plain, nearly = (chunks.flow(h, own.variables, inputs, x) for h in (own.head, guided))
    np.testing.assert_allclose(plain, nearly, atol=1e-4)


def test_factors_move_styles():
    table = random_head().styles
    draw = Draw(seed=4, factors={"nods": 2.0, "smiles": 0.5, "blinks": 2.0}, attitude="negative")
    plain, moved = Draw(seed=4).drawn_style(table), draw.drawn_style(table)
    assert (moved.nods, moved.blinks, moved.attitude) == (1.0, 1.0, "negative")
    assert (moved.smiles, moved.liveliness) == (plain.smiles, plain.liveliness)
    assert len(moved.code()) == CODE_SIZE


@pytest.mark.parametrize("wrong", [{"components": 8}, {"memory": 36}, {"innovations": 19}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FlowHeadConfig(coeff=7, **{"components": 3, "innovations": 9, **wrong})
