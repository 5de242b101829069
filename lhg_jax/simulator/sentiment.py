"""Sentiment and negation of what people say: the VADER lexicon (Hutto & Gilbert 2014)."""

import functools
import re
from collections.abc import Iterable

from lhg_jax.util.errors import MissingExtraError

LEAST_VALENCE = 1.3  # of VADER's -4 to 4: "nice" 1.8 counts, "yes" 1.7 counts, "please" 1.3 just does not
SCOPE = 3  # words that a negation turns round, as in VADER

_NEGATIONS = frozenset(
    ("no", "not", "never", "nothing", "nobody", "none", "neither", "nor", "nowhere", "cannot")
)
# Of what is likely to be a filler or a name in speech rather than a feeling.
_NEUTRAL = frozenset(("like", "well", "miss", "ha", "yes", "no", "sir", "ok", "okay", "please"))


@functools.cache
def _lexicon() -> dict[str, float]:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise MissingExtraError("sentiment of speech", "synthetic") from error
    return SentimentIntensityAnalyzer().lexicon


def plain(word: str) -> str:
    """A word without capitals and signs around it."""
    return re.sub(r"^[^a-z]+|[^a-z]+$", "", word.lower())


def negates(word: str) -> bool:
    """Whether a word says no: "not", "never", "don't" ..."""
    spoken = plain(word).replace("’", "'")
    return spoken in _NEGATIONS or spoken.endswith("n't")


def valences(words: Iterable[str]) -> list[int]:
    """Sentiment of each word: -1, 0 or 1, turned round within `SCOPE` words after a negation.

    Raises:
      MissingExtraError: without vaderSentiment (extra `synthetic`).
    """
    lexicon, signs, since = _lexicon(), [], SCOPE + 1
    for word in words:
        since = 0 if negates(word) else since + 1
        value = 0.0 if plain(word) in _NEUTRAL else lexicon.get(plain(word), 0.0)
        sign = (value > LEAST_VALENCE) - (value < -LEAST_VALENCE)
        signs.append(-sign if since and since <= SCOPE else 0 if not since else sign)
    return signs
