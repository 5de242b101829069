"""What the speakers of synthetic dyads say: a small grammar with sentiment and negation.

A sentence is a template of phrases; `{slot}` is filled from a list of words or expressions, `{slot+}` or
`{slot-}` from its positive or negative half, which together are the sentiment lexicon (our own).
"""

import dataclasses
import re

import numpy as np

NEGATIONS = frozenset(
    ("not", "never", "nobody", "nothing", "no", "don't", "didn't", "can't", "won't", "isn't", "wasn't")
)

_CHOICES = {
    "event": "trip|party|concert|wedding|lecture|journey|dinner|picnic|meeting|match|film|play|lesson",
    "place": "village|harbour|museum|theatre|market|library|station|garden|castle|school|hotel|bakery|park",
    "thing": "letter|painting|bicycle|jacket|camera|piano|photograph|table|map|lamp|boat|chair|mirror|clock",
    "food": "soup|bread|coffee|cake|fish|salad|cheese|breakfast|apple pie|lemonade",
    "person": "my brother|my sister|our neighbour|my teacher|the doctor|my uncle|the driver|my cousin"
    "|her friend|the new student|my daughter|the old captain",
    "day": "on Monday|on Friday|last summer|yesterday|this morning|in the evening|two weeks ago|after lunch"
    "|last winter",
    "where": "near the river|at the corner|behind the church|on the second floor|by the lake"
    "|across the street|in the north|outside the town",
    "move": "drove|walked|travelled|went|moved|cycled|returned",
    "do": "carried|bought|cleaned|found|borrowed|measured|repaired|sold|described|moved",
    "count": "two|three|four|five|six|seven|ten|twelve|twenty",
    "unit": "hours|days|weeks|minutes|months",
    "neutral": "old|new|small|large|plain|green|grey|heavy|little|ordinary|second|spare",
    "which": "old|new|small|large|quiet|modern|ordinary|little|famous|busy",
    "taste+": "delicious|wonderful|excellent|perfect|fantastic",
    "taste-": "awful|terrible|horrible|disappointing|nasty",
    "was+": "wonderful|lovely|great|fantastic|beautiful|amazing|delightful|excellent|brilliant|perfect"
    "|charming",
    "was-": "terrible|awful|horrible|boring|dreadful|disappointing|painful|miserable|ugly",
    "felt+": "happy|glad|proud|cheerful|grateful",
    "felt-": "sad|lonely|worried|ashamed|miserable|angry",
    "like+": "loved|enjoyed|adored|admired",
    "like-": "hated|regretted|dreaded|despised",
    "kind+": "kind|friendly|generous|funny|charming|cheerful",
    "kind-": "rude|cruel|lazy|nasty|angry|boring",
    "act+": "laughed|smiled|celebrated",
    "act-": "cried|complained|quarrelled|suffered",
}
_SLOTS = {name: tuple(words.split("|")) for name, words in _CHOICES.items()}


def _lexicon(sign: str) -> frozenset[str]:
    """Words of every slot of that sign."""
    return frozenset(word for name, words in _SLOTS.items() if name.endswith(sign) for word in words)


POSITIVE, NEGATIVE = _lexicon("+"), _lexicon("-")

# ',' ends a phrase that goes on, '.' one that is complete.
_NEUTRAL = (
    "we {move} to the {place} {day}.",
    "{day}, {person} {do} the {neutral} {thing}.",
    "the {event} lasted {count} {unit}.",
    "there is a {which} {place} {where}, and {person} works there.",
    "{person} took {count} pictures of the {place}.",
    "the {thing} is on the table {where}.",
    "{day}, we waited {count} {unit}, and then the bus came.",
    "the train to the {place} leaves {where}.",
)
_CHARGED = (
    "the {event} was really {was~}.",
    "{person} {like~} the {thing}, because it was so {was~}.",
    "I {like~} every minute of the {event}.",
    "{person} was very {kind~} to all of us.",
    "we all felt {felt~}, when the {event} was over.",
    "the {food} at the {place} tasted {taste~}.",
    "everybody {act~}, when {person} came to the {event}.",
    "{day}, the {place} looked absolutely {was~}.",
    "what a {was~} {event}, I {like~} it.",
    "{person} {act~} {day}, and so did I.",
)
_NEGATED = (  # the sentiment of `{slot~}` is turned round by the negation
    "the {event} was not {was!}.",
    "{person} was never {kind!} to us.",
    "I didn't feel {felt!} {day}.",
    "the {food} wasn't {taste!} at all.",
    "nobody {like!} the {event}, {day}.",
)
_NEGATED_NEUTRAL = (
    "no, we never {move} to the {place}.",
    "I don't know the {place} {where}.",
    "{person} can't find the {thing}.",
    "nothing happened {day}.",
    "the {place} isn't {which}, and it won't be.",
)


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A stretch of speech without a pause: its words, and ',' (goes on) or '.' (complete)."""

    words: tuple[str, ...]
    end: str


def sentence(rng: np.random.Generator, mood: int) -> tuple[Phrase, ...]:
    """A random sentence, bad, neutral or good (`mood` -1, 0, 1) in what it says; a quarter negate."""
    negated = rng.random() < 0.25
    if mood == 0:
        template = rng.choice(_NEGATED_NEUTRAL if negated else _NEUTRAL)
    else:
        template = rng.choice(_NEGATED if negated else _CHARGED)
    plus_or_minus = "+" if mood > 0 else "-"
    opposite = "-" if mood > 0 else "+"
    text = str(template).replace("~", plus_or_minus).replace("!", opposite)
    return filled(text, rng)


def filled(template: str, rng: np.random.Generator) -> tuple[Phrase, ...]:
    """The phrases of a sentence whose slots are filled at random."""
    text = re.sub(r"{([a-z]+[+-]?)}", lambda slot: str(rng.choice(_SLOTS[slot[1]])), template)
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    pieces = re.findall(r"([^,.]+)([,.])", text)
    return tuple(Phrase(tuple(words.split()), end) for words, end in pieces)


def valences(words: tuple[str, ...]) -> list[int]:
    """Sentiment of each word of a phrase: -1, 0 or 1; a negation earlier in the phrase turns it round.

    The shift is the simplest of those compared by Taboada et al. (2011), "Lexicon-based methods for sentiment
    analysis".
    """
    signs, turned = [], 1
    for word in words:
        turned = -1 if word in NEGATIONS else turned
        signs.append(turned * ((word in POSITIVE) - (word in NEGATIVE)))
    return signs


def vocabulary() -> set[str]:
    """Every word that can be said."""
    templates = " ".join((*_NEUTRAL, *_CHARGED, *_NEGATED, *_NEGATED_NEUTRAL))
    fixed = set(re.sub(r"{[^}]*}|[,.]", " ", templates).split())
    return fixed | {word for choices in _SLOTS.values() for choice in choices for word in choice.split()}
