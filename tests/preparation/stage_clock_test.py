"""Seconds of stages come home with the clip they were spent on."""

import threading
import time

from lhg_jax.preparation import clip_jobs
from lhg_jax.preparation.stage_clock import clocked, timed
from lhg_jax.util.errors import UserError


def test_stages_add_up_and_nothing_is_booked_outside():
    with timed("lost"):
        pass
    with clocked() as seconds:
        for _ in range(3):
            with timed("sleep"):
                time.sleep(0.02)
    with timed("lost"):
        pass
    assert list(seconds) == ["sleep"] and 0.06 <= seconds["sleep"] < 5


def test_threads_do_not_share_a_clock():
    with clocked() as seconds:
        thread = threading.Thread(target=lambda: timed("other").__enter__())
        thread.start()
        thread.join()
    assert not seconds


class Job:
    split, key, uuid = "train", "a", "a"

    def make(self):
        with timed("looking"):
            raise UserError("no face")


def test_a_clip_that_cannot_be_used_costs_time_as_well(tmp_path):
    assert list(clip_jobs.make_clips([Job()], tmp_path, workers=1)) == ["looking"]
    assert clip_jobs.left_out_reason(Job(), tmp_path) == "no face"
