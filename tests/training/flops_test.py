import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_toy import ToyListener, random_batch, toy_objective

from lhg_jax.config import OptimizerConfig
from lhg_jax.losses import CONTRASTIVE, ContrastiveInputs
from lhg_jax.training.flops import count_flops, peak_flops
from lhg_jax.training.optimizer import make_optimizer
from lhg_jax.training.state import init_state
from lhg_jax.training.step import train_step

X = jax.ShapeDtypeStruct((8, 16, 16, 4), jnp.float32)
KERNEL = jax.ShapeDtypeStruct((3, 3, 4, 6), jnp.float32)


def convolve(x, kernel, stride=1):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=dimensions)


def xla_flops(function, *shapes):
    return jax.jit(function).lower(*shapes).cost_analysis()["flops"]


def test_matrix_product():
    a, b = jax.ShapeDtypeStruct((5, 7, 11), jnp.float32), jax.ShapeDtypeStruct((5, 11, 13), jnp.float32)
    assert count_flops(jnp.matmul, a, b) == 2 * 5 * 7 * 11 * 13


def test_convolution_and_its_gradients_agree_with_xla():
    assert count_flops(convolve, X, KERNEL) == 2 * (8 * 14 * 14 * 6) * (3 * 3 * 4)
    assert count_flops(convolve, X, KERNEL) == xla_flops(convolve, X, KERNEL)

    def gradients(x, kernel):
        return jax.grad(lambda *args: jnp.square(convolve(*args, stride=2)).sum(), argnums=(0, 1))(x, kernel)

    forward = count_flops(lambda *args: convolve(*args, stride=2), X, KERNEL)
    assert count_flops(gradients, X, KERNEL) == 3 * forward
    assert xla_flops(gradients, X, KERNEL) == pytest.approx(3 * forward, rel=0.03)  # the squares as well


def test_loops_count_as_often_as_they_run():
    w = jax.ShapeDtypeStruct((4, 4), jnp.float32)

    def loop(w):
        return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w), None), w, None, length=9)[0]

    assert count_flops(loop, w) == 9 * 2 * 4**3
    assert count_flops(jax.jit(jax.checkpoint(loop)), w) == 9 * 2 * 4**3


def test_training_step_counts_its_products_three_times():
    optimizer = make_optimizer(OptimizerConfig(warmup_steps=1), 10)
    batch, c = random_batch(0), np.zeros(70, np.float32)
    model = ToyListener()
    state = jax.eval_shape(lambda: init_state(model, optimizer, batch, 0, c, c + 1))

    def step(state, batch, key):
        parts = {"model": model, "objective": toy_objective, "optimizer": optimizer}
        return train_step(state, batch, key, **parts, ema_decay=0.9)

    frames = 8 * 6
    forward = 2 * frames * (70 * 16 + 16 * 70)
    # The batch norm in front has parameters: there is a gradient by the input of the first layer as well.
    assert count_flops(step, state, batch, jax.random.key(0)) == 3 * forward


@pytest.mark.parametrize("name", ["paper", "siglip"])
def test_what_a_contrastive_loss_computes_again_does_not_count(name):
    """Two arrays of vectors that are compared: one product forward, two backward."""
    clips, frames, size = 2, 6, 5
    features = jnp.ones((clips, frames, size))
    mask = jnp.ones((clips, frames), bool)

    def loss(text, levels):
        inputs = ContrastiveInputs(text, levels, mask, mask, mask.astype(jnp.int32))
        return CONTRASTIVE[name](inputs, temperature=0.1, chunk=4).mean()

    stamps, columns = clips * frames, clips * frames * (3 if name == "paper" else 1)
    gradients = jax.grad(loss, (0, 1))
    assert count_flops(gradients, features, (features,) * 3) == 3 * 2 * stamps * columns * size


def test_peaks():
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA L40S") == 362e12 != peak_flops("NVIDIA L4")
    assert peak_flops("NVIDIA H100 PCIe") < peak_flops("NVIDIA H100 80GB HBM3")
    assert peak_flops("NVIDIA L4 of the future") is None
    assert peak_flops("TPU v5 lite") == 197e12
    assert peak_flops("TPU v5p") == 459e12
    assert peak_flops("cpu") is None
