"""Models: the paper's listener, the ViCo baseline, and their weights."""

from lhg_jax.models.listener import Listener, ListenerConfig, ListenerOutput
from lhg_jax.models.vico_lstm import ViCoConfig, ViCoListener
from lhg_jax.weights import check_tree, load_weights, save_weights
