"""A naive linen version of the parts that `lhg_jax` has made fast, for the bench to measure the gain."""

import contextlib
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp

from lhg_jax.losses import ContrastiveInputs, LossSums
from lhg_jax.losses.base import masked_loss


class NaiveGRUStack(nn.Module):
    """`nn.RNN` over `nn.GRUCell`, both directions, layer by layer; called as `models.rnn.GRUStack`."""

    hidden: int
    layers: int
    bidirectional: bool = True
    dtype: object = jnp.float32

    @nn.compact
    def __call__(self, x_BTC, lengths_B, h0):
        """Outputs, and no last state."""
        for layer in range(self.layers):
            halves = []
            for direction in range(2):
                cell = nn.GRUCell(self.hidden, dtype=self.dtype)
                run = nn.RNN(cell, reverse=direction == 1, keep_order=True)
                halves.append(run(x_BTC, initial_carry=h0[2 * layer + direction], seq_lengths=lengths_B))
            x_BTC = jnp.concatenate(halves, -1)
        return x_BTC, None


def whole_matrix(x: ContrastiveInputs, *, temperature: float, chunk: int) -> LossSums:
    """Eq. 2 by the whole N x 3N matrix."""
    rows, *banks = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (x.text_BTD, *x.levels))
    columns = jnp.concatenate([bank.reshape(-1, bank.shape[-1]) for bank in banks])
    logits_BTM = rows @ columns.T / temperature
    positive_BT = (rows * banks[2]).sum(-1) / temperature
    return masked_loss({"eq2": jax.nn.logsumexp(logits_BTM, axis=-1) - positive_BT}, x.anchors_BT)


@contextlib.contextmanager
def naive_parts():
    """Inside, models are built and losses traced with the naive parts."""
    with (
        mock.patch("lhg_jax.models.decoder.GRUStack", NaiveGRUStack),
        mock.patch.dict("lhg_jax.losses.CONTRASTIVE", {"paper": whole_matrix}),
    ):
        yield
