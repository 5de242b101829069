import numpy as np
import pytest

from lhg_jax.preparation.turns import (
    LONGEST_S,
    SHORTEST_S,
    Span,
    frames_in,
    is_listening,
    joined,
    others_heard,
    passages,
)


def random_voices(seed: int, people: str = "AB") -> dict[str, list[Span]]:
    """Words with small pauses, some long ones, and a voice that goes on for a minute without any."""
    rng = np.random.default_rng(seed)
    voices = {}
    for person in people:
        time_s, spans = float(rng.uniform(0, 20)), []
        for _ in range(200):
            time_s += rng.exponential(0.3) + 8 * (rng.random() < 0.03)
            spans.append(Span(time_s, time_s + rng.uniform(0.1, 0.6)))
            time_s = spans[-1].end_s
        voices[person] = [*spans, Span(time_s + 3, time_s + 63)]
    return voices


@pytest.mark.parametrize("seed", range(4))
def test_passages_are_as_long_as_they_should_and_lose_no_long_turn(seed):
    voices = random_voices(seed)
    end_s = max(spans[-1].end_s for spans in voices.values())
    found = passages(voices, end_s)
    assert all(SHORTEST_S <= span.length_s <= LONGEST_S + 1e-9 for _, span in found)
    assert all(span.start_s >= 0 and span.end_s <= end_s for _, span in found)
    for person, spans in voices.items():
        mine = [span for speaker, span in found if speaker == person]
        # the minute without a pause is covered but for what is left over at its ends
        first, last = (int(30 * edge_s) for edge_s in spans[-1])
        covered = frames_in(mine, last)[first + 1 :]
        assert covered.mean() > 0.95
        # no passage begins or ends in the middle of a word, save in the voice that never pauses
        for span in mine:
            inside = [w for w in spans[:-1] if w.start_s < span.start_s + 0.5 - 1e-6 < w.end_s - 1e-6]
            assert not inside


def test_a_short_turn_is_no_passage():
    assert passages({"A": [Span(0.5, 5.0)]}, 30.0) == []
    [(speaker, span)] = passages({"A": [Span(0.2, 7.0)], "B": []}, 30.0)
    assert speaker == "A" and span == Span(0.0, 8.5)


def test_joining_bridges_pauses_and_drops_what_has_no_length():
    spans = [Span(3.0, 4.0), Span(0.0, 1.0), Span(1.2, 2.0), Span(5.0, 5.0), Span(3.5, 3.6)]
    assert joined(spans) == [Span(0.0, 1.0), Span(1.2, 2.0), Span(3.0, 4.0)]
    assert joined(spans, 0.5) == [Span(0.0, 2.0), Span(3.0, 4.0)]


def test_others_are_all_but_the_speaker_cut_to_the_passage():
    voices = {"A": [Span(0.0, 100.0)], "B": [Span(8.0, 11.0), Span(11.2, 12.0)], "C": [Span(25.0, 40.0)]}
    heard = others_heard(voices, "A", Span(10.0, 30.0))
    assert heard == [Span(0.0, 2.0), Span(15.0, 20.0)]
    assert is_listening(heard, Span(10.0, 30.0)) and not is_listening(
        [*heard, Span(5.0, 9.0)], Span(10.0, 30.0)
    )
    mask = frames_in(heard, 600)
    assert mask[:60].all() and not mask[60:450].any() and mask[450:].all()
