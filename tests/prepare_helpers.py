"""The preparing command, run in this process, and a word encoder that needs no model: shared by its tests."""

import sys

import numpy as np

from lhg_jax import prepare
from lhg_jax.util.errors import run_cli


class Letters:
    """Stands in for `speech.bert.shared_encoder`: a word's vector is its length."""

    name = "letters"

    def __init__(self, folder=None):
        """As `shared_encoder` is called."""

    def word_vectors(self, words):
        return np.array([[0.0] * 4, *([float(len(word))] * 4 for word in words)], np.float32)


def run(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare", *map(str, arguments)])
    run_cli(prepare.main)
