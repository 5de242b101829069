"""What crosses the walls between stages, in types that say what it is. Read this file first.

The first half are arrays: what is known of a speaker, one dyad, what a model answers, what a loss returns.
The second half are specs: what features mean, how a listener is run, what a training run is. Prepared data,
weights and runs carry their specs, and whoever takes two of them together compares them (`require_same`).

Three masks, each with one meaning:
  in_clip: the frame is no padding. Nothing looks at a frame outside.
  speaker_seen: the speaker's motion there may be used. Where it is not, sound and words still count.
  listener_seen: the listener's motion there may be compared with. It enters the loss and nothing else.

The array types are not checked at run time: transformations put shapes, shardings and tracers in their
fields. Functions that take arrays are checked in the tests.
"""

import dataclasses
import functools
import json
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, no_type_check

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from lhg_jax.util.errors import UserError

if TYPE_CHECKING:
    AnyArray: TypeAlias = Any  # mypy cannot know on which side of `jit` a tree is
else:
    AnyArray = jax.Array | np.ndarray  # numpy on the way in, jax inside a jitted function

TRAITS = ("liveliness", "nods", "smiles", "blinks", "brows")
ATTITUDES = ("positive", "neutral", "negative")
STYLE_SIZE = len(TRAITS) + len(ATTITUDES)
VICO_COMPAT = "vico_compat/1"  # recipe of the ViCo baseline's own columns in the place of the MFCC
UNKNOWN = -1.0  # a trait that nobody has measured


@no_type_check
class SpeakerFeatures(flax.struct.PyTreeNode):
    """All that a listener hears and sees of one speaker: T frames at 30/s, or a padded batch of clips.

    Attributes:
      log_mel: dB in [-80, 0]; M = `features.mel_steps(T)` steps, step m centred at m/60 s.
      mfcc: MFCC + delta + delta-delta, or another recipe's columns (`FeatureSpec.mfcc`).
      word_table: word vectors; row 0 is zeros.
      word_index: row of `word_table` that is spoken in a frame, 0 = no word.
      speaker_motion: coefficients in one space; zeros where the speaker is not seen at all.
      speaker_seen: see the module's docstring; False everywhere for sound alone.
      in_clip: see the module's docstring.
    """

    log_mel: Float[AnyArray, "*batch step mel"]
    mfcc: Float[AnyArray, "*batch frame column"]
    word_table: Float[AnyArray, "*batch word size"]
    word_index: Int[AnyArray, "*batch frame"]
    speaker_motion: Float[AnyArray, "*batch frame coeff"]
    speaker_seen: Bool[AnyArray, "*batch frame"]
    in_clip: Bool[AnyArray, "*batch frame"]

    @property
    def frames(self) -> int:
        """T, padding included; a symbolic dimension where a function is exported."""
        return self.in_clip.shape[-1]


def style_vector(attitude: str = "unknown", **traits: float) -> Float[np.ndarray, "style"]:
    """A listener's style as a model sees it: each of `TRAITS`, then `ATTITUDES` one-hot; what is not named is
    unknown.

    Args:
      attitude: one of `ATTITUDES`; anything else is unknown, all zeros.
      traits: by names of `TRAITS`, each the quantile in [0, 1] among listeners.

    Raises:
      KeyError: an unknown trait.
    """
    values = np.full(len(TRAITS), UNKNOWN, np.float32)
    for name, value in traits.items():
        if name not in TRAITS:
            raise KeyError(f"no trait {name!r} (there are {', '.join(TRAITS)})")
        values[TRAITS.index(name)] = value
    return np.concatenate([values, np.array([name == attitude for name in ATTITUDES], np.float32)])


@no_type_check
class Example(flax.struct.PyTreeNode):
    """One dyad (no leading axis) or a batch of crops.

    Attributes:
      features: what the speaker says and does.
      listener_motion: the listener's coefficients; frame 0 is the reference that the model is given.
      listener_seen: see the module's docstring; False outside the clip.
      index: place of the clip in its source, -1 for a clip that only fills up a batch.
      style: of the listener, `style_vector`.
    """

    features: SpeakerFeatures
    listener_motion: Float[AnyArray, "*batch frame coeff"]
    listener_seen: Bool[AnyArray, "*batch frame"]
    index: Int[AnyArray, "*batch"]
    style: Float[AnyArray, "*batch style"] = flax.struct.field(default_factory=style_vector)


Batch = Example


@no_type_check
class ListenerOutput(flax.struct.PyTreeNode):
    """What a model returns for a padded batch.

    Attributes:
      motion: listener's coefficients, float32; frame 0 is the first frame given, frames past the end are
        zero.
      text: f_t of the paper, in the model's compute type, as the levels.
      levels: f_low, f_mid, f_high.
      anchors: a word is spoken in that frame.
    """

    motion: Float[AnyArray, "batch frame coeff"]
    text: Float[AnyArray, "batch frame size"]
    levels: tuple[
        Float[AnyArray, "batch frame size"],
        Float[AnyArray, "batch frame size"],
        Float[AnyArray, "batch frame size"],
    ]
    anchors: Bool[AnyArray, "batch frame"]


@no_type_check
class LossSums(flax.struct.PyTreeNode):
    """What a loss returns: sums and counts, added up over steps, micro-batches and devices, divided once.

    Attributes:
      sums: over an example's scored items (frames, words), float32.
      counts: number of these items.
      terms: named parts in the same form, for logs; their means add up to the mean where all have its counts.
      logged: what else there is to know of the items, in the same form; no part of the loss.
    """

    sums: Float[AnyArray, "batch"]
    counts: Float[AnyArray, "batch"]
    terms: Mapping[str, "LossSums"] = flax.struct.field(default_factory=dict)
    logged: Mapping[str, "LossSums"] = flax.struct.field(default_factory=dict)

    def mean(self) -> Float[AnyArray, ""]:
        """Over all items of all examples; 0 where there is none."""
        return self.sums.sum() / jnp.maximum(self.counts.sum(), 1)

    def term_means(self) -> dict[str, Float[AnyArray, ""]]:
        """Of every named term."""
        return {name: term.mean() for name, term in self.terms.items()}

    @staticmethod
    def total(terms: Mapping[str, "LossSums"]) -> Float[AnyArray, "batch"]:
        """Sums of all terms together."""
        return functools.reduce(operator.add, (term.sums for term in terms.values()))


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """What the numbers in `SpeakerFeatures` mean. Recipes are NAME/VERSION; a change of numbers is a new one.

    Attributes:
      frame_rate: motion frames/s.
      log_mel: recipe of the log-mel.
      mfcc: recipe of the MFCC columns; `VICO_COMPAT` is the ViCo baseline's own.
      mfcc_size: number of these columns.
      words: encoder of the word vectors.
      word_size: entries of a word vector.
      space: coefficient space of both motions.
      causal: no feature looks at what comes later.
    """

    frame_rate: float = 30.0
    log_mel: str = "loudest_step/1"
    mfcc: str = "mfcc/1"
    mfcc_size: int = 39
    words: str = "all-MiniLM-L6-v2"
    word_size: int = 384
    space: str = "landmark"
    causal: bool = False


@dataclasses.dataclass(frozen=True)
class InferenceSpec:
    """How a listener is run on a clip of any length.

    Attributes:
      window: frames that the model sees at once: its training crop, >= 1.
      overlap: frames shared by neighbouring windows, in [1, window); 0 where a window holds any clip.
      max_words: rows of a window's word table besides row 0.
      anchor: what a model's change is counted from: `first_frame` of the clip, in every window.
    """

    window: int = 178
    overlap: int = 60
    max_words: int = 64
    anchor: str = "first_frame"

    @classmethod
    def for_crop(cls, frames: int) -> "InferenceSpec":
        """Of a model that was trained on crops of `frames`: windows as long, a third of them shared."""
        return cls(window=frames, overlap=-(-frames // 3), max_words=word_capacity(frames))


@dataclasses.dataclass(frozen=True)
class RunIdentity:
    """What makes a training run the run it is: a save is continued, and a result kept, by the same run only.

    Attributes:
      settings: dotted name -> value of all that decides the numbers; clips by their contents, not their path.
    """

    settings: Mapping[str, Any]

    def changes_from(self, before: "RunIdentity") -> str:
        """Each setting that differs, with its old and new value, in one line; empty where none does."""
        names = sorted({*self.settings, *before.settings})
        pairs = (
            (name, before.settings.get(name, "unset"), self.settings.get(name, "unset")) for name in names
        )
        return ", ".join(f"{name} was {old} and is now {new}" for name, old, new in pairs if old != new)


def word_capacity(frames: int) -> int:
    """Word rows (besides row 0) of a crop of `frames` frames: 7.5 words/s, faster than anyone speaks."""
    return 2 + frames // 4


Spec = TypeVar("Spec", FeatureSpec, InferenceSpec)


def differing(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """Fields in which two dataclasses of one type differ, with both values."""
    pairs = ((f.name, (getattr(a, f.name), getattr(b, f.name))) for f in dataclasses.fields(a))
    return {name: (x, y) for name, (x, y) in pairs if x != y}


def require_same(what_a: str, a: Spec, what_b: str, b: Spec, way_out: str) -> None:
    """Raises `UserError` naming both sides, all that differs and the way out, in one line."""
    if found := differing(a, b):
        of_a, of_b = (", ".join(f"{name} {pair[i]}" for name, pair in found.items()) for i in (0, 1))
        raise UserError(f"{what_a}: {of_a}; {what_b}: {of_b} ({way_out})")


def spec_to_json(spec: Spec) -> str:
    """For metadata that holds strings."""
    return json.dumps(dataclasses.asdict(spec))


def spec_from_json(kind: type[Spec], text: str) -> Spec:
    """What `spec_to_json` wrote. Raises ValueError or TypeError for anything else."""
    return kind(**json.loads(text))
