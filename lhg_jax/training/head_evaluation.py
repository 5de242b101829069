"""What a flow head is judged by: its loss on held-out chunks, and whole motions drawn for held-out clips."""

from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float

from lhg_jax.contract import SpeakerFeatures
from lhg_jax.data.records import RecordSource
from lhg_jax.generative import Draw, ListenerHead, TrunkOutput, draw_motion
from lhg_jax.metrics.listening import reaction_metrics
from lhg_jax.metrics.per_video import frdiv
from lhg_jax.metrics.reactivity import Clip, listener_signals, reactivity, swap_ratio
from lhg_jax.motion import CoefficientSpace, Motion
from lhg_jax.training.objective import coefficient_groups
from lhg_jax.training.state import TrainState
from lhg_jax.training.step import mean_terms
from lhg_jax.training.trunk_features import TrunkFeatures

if TYPE_CHECKING:
    from lhg_jax.training.head_stage import HeadRun

CLIPS = 12  # for which motions are drawn
CHUNKS = 2048  # on which the loss is taken
COOL = 0.3  # temperature at which another speaker should matter more than another seed
CEPSTRA = 13  # of the MFCC, without deltas, among a speaker's signals

Values = Float[np.ndarray, "_ _"]  # clips differ in length


class HeadEvaluation:
    """The held-out clips and the compiled loss."""

    def __init__(self, run: "HeadRun", features: TrunkFeatures, source: RecordSource):
        self._run, self._features, self._source = run, features, source
        self.space: CoefficientSpace = source.space
        self._loss = jax.jit(lambda params, batch, key: mean_terms(run.loss(params, {}, batch, key)[0]))

    def __call__(self, state: TrainState) -> dict[str, float]:
        """Metrics of the averaged parameters.

        `loss` and its parts; of listeners drawn at temperature 1: `exp_variance`, `pose_variance` along time
        (1: the true one's), R-F1, R-tIoU, R-ATD of nods and shakes, `frdiv` of two samples, `reactivity_*`;
        at temperature 0.3 `swap_ratio`. What cannot be measured is left out.
        """
        batch = next(self._run.stream(self._features, CHUNKS))
        losses = jax.device_get(self._loss(state.ema_params, batch, jax.random.key(0)))
        own, numbers = self._run.own(state), range(min(CLIPS, len(self._features)))
        pairs = [self._draw(own, number, 1.0) for number in numbers]
        targets = [self._target(number) for number in numbers]
        first = [pair[0] for pair in pairs]
        scores = {name: float(value) for name, value in losses.items()}
        scores |= variance_ratios(first, targets, self.space)
        scores |= reaction_metrics(first, targets, self.space)
        scores |= {"frdiv": float(np.mean([frdiv(list(pair)) for pair in pairs]))}
        clips = [self._conversation(first[n], targets[n], n) for n in numbers]
        scores |= {f"reactivity_{name}": value for name, value in reactivity(clips).items()}
        scores |= {"swap_ratio": self._swap_ratio(own, numbers)}
        return {name: value for name, value in scores.items() if np.isfinite(value)}

    def sample(self, state: TrainState) -> tuple[Values, Values]:
        """A drawn and the true motion of the first held-out clip."""
        return self._draw(self._run.own(state), 0, 1.0)[0], self._target(0)

    def _draw(
        self, own: ListenerHead, number: int, temperature: float, speaker: int | None = None
    ) -> np.ndarray:
        """Two listeners for a clip, or for another one's speaker; the clip decides the seeds."""
        seeds = [2 * number, 2 * number + 1]
        styles = [Draw(seed, temperature).drawn_style(own.styles) for seed in seeds]
        return draw_motion(
            own, self._trunk(number if speaker is None else speaker), styles, seeds, temperature
        )

    def _trunk(self, number: int) -> TrunkOutput:
        rows = self._rows(number)
        data = self._features
        return TrunkOutput(np.array(data.mean[rows]), data.state[rows].astype(np.float32))

    def _target(self, number: int) -> Values:
        return np.array(self._features.target[self._rows(number)])

    def _rows(self, number: int) -> slice:
        return slice(int(self._features.starts[number]), int(self._features.starts[number + 1]))

    def _conversation(self, drawn: Values, target: Values, number: int) -> Clip:
        ours, true = (listener_signals(Motion(self.space, values)) for values in (drawn, target))
        return Clip(ours, true, speaker_signals(self._source[number].features, self.space))

    def _swap_ratio(self, own: ListenerHead, numbers: range) -> float:
        if len(numbers) < 2:
            return float("nan")
        pairs = [change(self._draw(own, n, COOL)) for n in numbers]
        others = [change(self._draw(own, n, COOL, (n + 1) % len(numbers)))[0] for n in numbers]
        return swap_ratio([pair[0] for pair in pairs], [pair[1] for pair in pairs], others)


def change(motions: np.ndarray) -> np.ndarray:
    """Since the first frame, which differs between clips."""
    return motions - motions[:, :1]


def variance_ratios(drawn: list[Values], targets: list[Values], space: CoefficientSpace) -> dict[str, float]:
    """`exp_variance`, `pose_variance`: along time, summed over coefficients and clips, over the truth's."""
    ratios = {}
    for name, columns in coefficient_groups(space).items():
        ours, true = (sum(v[:, columns].var(axis=0).sum() for v in motions) for motions in (drawn, targets))
        ratios[f"{name}_variance"] = float(ours / true) if true else float("nan")
    return ratios


def speaker_signals(features: SpeakerFeatures, space: CoefficientSpace) -> Float[np.ndarray, "frames size"]:
    """Motion and cepstra of the speaker."""
    moved = listener_signals(Motion(space, np.asarray(features.speaker_motion, np.float32)))
    return np.concatenate([moved, np.asarray(features.mfcc[:, :CEPSTRA], np.float64)], axis=1)
