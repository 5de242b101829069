import json

import golden_step
import pytest


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_three_steps_give_the_recorded_numbers(remat):
    """No refactor may change these, nor what is kept for the backward pass of all of the listener's kernels.

    Where they are meant to change: `python tests/golden_step.py`.
    """
    recorded, measured = json.loads(golden_step.RECORD.read_text()), golden_step.measure(remat)
    assert measured.keys() == recorded.keys()
    differing = {
        name: (measured[name], recorded[name])
        for name in recorded
        if measured[name] != pytest.approx(recorded[name], rel=2e-5, abs=1e-7)
    }
    assert not differing, "(measured, recorded) of what differs"
