"""What may wait, how long, and how much may be sent; two clocks."""

import numpy as np
import pytest

from lhg_jax.live.mailbox import MAX_SOUND_S, HeardSound, Mailbox, SeenPicture
from lhg_jax.live.timing import RENEW_S, Allowance, ClientClock


def test_the_newest_picture_wins_and_sound_stays_whole():
    box, rng = Mailbox(), np.random.default_rng(0)
    times = np.sort(rng.uniform(0, MAX_SOUND_S, 40))
    sounds = [HeardSound(float(t), rng.bytes(8)) for t in times]
    for i, sound in enumerate(sounds):
        box.put(sound)
        box.put(SeenPicture(sound.time_s, bytes([i])))
        if i % 10 == 0:
            box.put(i)
    assert box.take() == [0, 10, 20, 30, *sounds, SeenPicture(float(times[-1]), bytes([39]))]
    assert box.dropped_pictures == 39 and box.dropped_sounds == 0
    assert box.take() == []


def test_a_backlog_of_sound_is_dropped_whole():
    box = Mailbox()
    for i in range(500):
        box.put(HeardSound(i * 0.02, b""))
        assert len(box._sounds) <= MAX_SOUND_S / 0.02 + 2
    times = [sound.time_s for sound in box.take()]
    np.testing.assert_allclose(np.diff(times), 0.02)  # what is left has no gap
    assert times[-1] == pytest.approx(499 * 0.02) and box.dropped_sounds == 500 - len(times)


def test_waiting_ends_with_a_message():
    box = Mailbox()
    box.put("x")
    box.wait(60.0)
    box.take()
    box.wait(0.001)


@pytest.mark.parametrize("seed", range(5))
def test_the_clients_clock(seed):
    """Messages with delays of 5 to 100 ms: none lies in the future, and the quickest ones are exact."""
    rng = np.random.default_rng(seed)
    clock, offset = ClientClock(), float(rng.uniform(-1e4, 1e4))
    offset = max(offset, 1 - 1000.0)
    for i in range(2000):
        sent = 1000.0 + 0.02 * i
        delay = 0.005 + rng.exponential(0.02)
        ours = clock.ours(round(sent * 1e6), sent + offset + delay)
        assert ours <= sent + offset + delay + 1e-6
        if i > 500:
            assert ours == pytest.approx(sent + offset + 0.005, abs=0.004)
            assert clock.theirs(ours) == pytest.approx(sent * 1e6, abs=1)


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_is_believed_after_a_while(jump_s):
    clock = ClientClock()
    for i in range(100):
        clock.ours(round((7200 + 0.1 * i) * 1e6), 0.1 * i)
    now = 10.0
    while now < 12.0 + 2 * RENEW_S:
        ours = clock.ours(round((7200 + now + jump_s) * 1e6), now)
        assert ours <= now + 1e-6
        now += 0.1
    assert ours == pytest.approx(now - 0.1, abs=1e-3)


def test_a_clock_that_has_heard_nothing():
    assert ClientClock().theirs(5.0) == 0


def test_an_allowance():
    allowance = Allowance(rate=10.0, most=20.0)
    assert allowance.take(20.0, 100.0) and not allowance.take(1.0, 100.0)
    assert not allowance.take(6.0, 100.5) and allowance.take(5.0, 100.5)
    assert allowance.take(20.0, 1000.0) and not allowance.take(1.0, 1000.05)
    rng = np.random.default_rng(0)
    taken, now = 0.0, 1000.05
    for _ in range(2000):
        now += float(rng.uniform(0, 0.02))
        amount = float(rng.uniform(0, 3))
        taken += amount * allowance.take(amount, now)
    assert taken <= 20 + 10 * (now - 1000)
