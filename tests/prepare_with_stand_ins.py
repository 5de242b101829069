"""`prepare` in a process of its own, with a face tracker and word vectors that need no model."""

from landmark_stand_in import Brightness
from prepare_helpers import Letters

from lhg_jax import faces, prepare
from lhg_jax.preparation import extraction
from lhg_jax.util.errors import run_cli

if __name__ == "__main__":
    faces.get_tracker = lambda *_: Brightness()
    extraction.shared_encoder = Letters
    run_cli(prepare.main)
