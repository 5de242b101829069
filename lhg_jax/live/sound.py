"""Sound as it comes, in packets with times, to log-mel steps and MFCC of one model frame after the other."""

import numpy as np
from jaxtyping import Float

from lhg_jax.features import MFCC_SIZE
from lhg_jax.motion import FRAME_RATE
from lhg_jax.speech.causal import HearingState, hear
from lhg_jax.speech.log_mel import FFT_SIZE, SAMPLE_RATE, STEP_RATE, window_decibels

JITTER_SAMPLES = SAMPLE_RATE // 50  # 20 ms: packets whose times differ by less follow each other
STEPS = 5  # log-mel steps of the first frame; each later one brings two
SPAN = round(STEPS * SAMPLE_RATE / STEP_RATE) + FFT_SIZE  # samples that so many windows may touch


def steps_of_frame(frame: int) -> int:
    """Log-mel steps that the network has heard when it comes to speak of a frame: 0 to 2 frame + 4."""
    return 2 * frame + STEPS


class LiveSound:
    """Samples on a clock that begins at sample 0; frame t is heard when `needed(t)` samples are there.

    What never came is silence. After a jump the frames go on from a later place on the clock.
    """

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._first = 0  # place of the first of them on the clock
        self._shift = 0  # samples that were jumped over
        self._hearing = HearingState()
        self._mfcc = np.zeros((0, MFCC_SIZE), np.float32)
        self.level_db = -np.inf  # loudest band of the last frame, relative to the running loudness

    @property
    def end(self) -> int:
        """Place on the clock behind the last sample."""
        return self._first + len(self._samples)

    def needed(self, frame: int) -> int:
        """Samples that must be there for a frame."""
        return self._start(steps_of_frame(frame) - 1) + FFT_SIZE

    def push(self, samples: Float[np.ndarray, "samples"], start: int) -> None:
        """Takes samples (mono, in [-1, 1]) whose first one stands at `start` on the clock."""
        gap = start - self.end
        if abs(gap) > JITTER_SAMPLES:
            samples = samples[max(-gap, 0) :]  # what is there already stays
            self._append(np.zeros(max(gap, 0), np.float32))
        self._append(samples.astype(np.float32))

    def _append(self, samples: Float[np.ndarray, "samples"]) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def jump(self, frames: int) -> None:
        """Leaves out the sound of so many frames."""
        self._shift += round(frames * SAMPLE_RATE / FRAME_RATE)

    def advance(self, frame: int) -> tuple[Float[np.ndarray, "steps 128"], Float[np.ndarray, "1 39"]]:
        """New log-mel steps and the MFCC of the next frame; frames are asked for one by one, from 0."""
        first = self._hearing.steps
        count = steps_of_frame(frame) - first
        starts = np.array([self._start(first + min(i, count - 1)) for i in range(STEPS)])
        offsets = (starts - starts[0]).astype(np.int32)
        decibels = np.asarray(window_decibels(self._span(int(starts[0])), offsets))[:count]
        self._hearing, log_mel, mfcc = hear(self._hearing, decibels)
        self._mfcc = np.concatenate([self._mfcc, mfcc])
        row, self._mfcc = self._mfcc[:1], self._mfcc[1:]
        self.level_db = float(log_mel.max())
        self._forget(int(starts[0]))
        return log_mel, row

    def _start(self, step: int) -> int:
        """Place on the clock at which a step's window begins."""
        return self._shift + round(step * SAMPLE_RATE / STEP_RATE) - FFT_SIZE // 2

    def _span(self, first: int) -> Float[np.ndarray, "span"]:
        span = np.zeros(SPAN, np.float32)
        known = self._samples[max(first - self._first, 0) : max(first + SPAN - self._first, 0)]
        offset = max(self._first - first, 0)
        span[offset : offset + len(known)] = known
        return span

    def _forget(self, before: int) -> None:
        """Lets go of samples that no later window reads, whether they have come or not."""
        old = max(before - self._first, 0)
        self._samples, self._first = self._samples[old:], self._first + old
