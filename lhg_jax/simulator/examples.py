"""A simulated dyad as the model sees it."""

from lhg_jax.contract import Example
from lhg_jax.data.schema import assemble
from lhg_jax.motion import require_same_space
from lhg_jax.simulator.dyads import Dyad
from lhg_jax.speech.extract import WordEncoder, extract_speech


def make_example(dyad: Dyad, encoder: WordEncoder) -> Example:
    """Extracts everything the model needs from one dyad.

    Args:
      dyad: sound, words and the motion of both people at 30 frames/s.
      encoder: gives the word vectors.
    """
    require_same_space("speaker", dyad.speaker.space, "listener", dyad.listener.space)
    frames = min(len(dyad.speaker), len(dyad.listener))
    speech = extract_speech(dyad.wave, frames, dyad.words, encoder)
    return assemble(speech, dyad.speaker, dyad.listener, dyad.style.vector())
