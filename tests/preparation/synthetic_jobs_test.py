"""Which synthetic dyads make up a data set: shares of voices, of silence and of speeds, and takes."""

import dataclasses

import numpy as np
import pytest

from lhg_jax.preparation.synthetic_clips import check_dyads, synthetic_jobs
from lhg_jax.preparation.voices import Voice
from lhg_jax.util.errors import UserError


def test_share_of_recorded_voices(tmp_path):
    voices = [Voice("ann", (tmp_path / "a.npz",)), Voice("bob", (tmp_path / "b.npz",))]
    jobs = synthetic_jobs(2.0, 1, "train", voices, 0.25)
    share = sum(job.voice is not None for job in jobs) / len(jobs)
    assert 0.18 < share < 0.32 and len({job.uuid for job in jobs}) == len({job.key for job in jobs}) == len(
        jobs
    )
    assert not any(job.voice for job in synthetic_jobs(0.1, 1, "train"))
    rules = synthetic_jobs(2.0, 1, "train", voices, 0.25, "constant")
    assert [job.voice for job in rules] == [job.voice for job in jobs]
    assert {job.uuid.partition("-")[0] for job in rules} == {"rules", "synthetic"}
    assert not {job.key for job in rules} & {job.key for job in jobs}


def test_takes_share_their_speaker(tmp_path):
    voices = [Voice("ann", (tmp_path / "a.npz",)), Voice("bob", (tmp_path / "b.npz",))]
    once, thrice = (synthetic_jobs(1.5, 1, "train", voices, 0.5, takes=takes) for takes in (1, 3))
    assert len(thrice) == pytest.approx(len(once), abs=3)
    assert all(a.voice == b.voice for a, b in zip(thrice[::3], thrice[2::3], strict=True))
    assert {job.voice for job in thrice} == {None, *voices}
    assert len({job.uuid for job in thrice}) == len({job.key for job in thrice}) == len(thrice)
    for listeners, takes in (("varied", 0), ("constant", 2)):
        with pytest.raises(UserError, match="--takes"):
            synthetic_jobs(0.1, 1, "train", listeners=listeners, takes=takes)


def test_a_share_of_silence(tmp_path):
    voices = [Voice("ann", (tmp_path / "a.npz",))]
    jobs = synthetic_jobs(2.0, 1, "train", voices, 0.5, silence=0.25)
    silent = [job for job in jobs if job.silent]
    assert 0.18 < len(silent) / len(jobs) < 0.32
    assert not any(job.voice for job in silent) and any(job.voice for job in jobs)
    assert len({job.key for job in jobs}) == len(jobs)
    speaking = dataclasses.replace(silent[0], silent=False)
    assert speaking.key != silent[0].key
    assert speaking.dyad().speech.words and not silent[0].dyad().speech.words
    with pytest.raises(UserError, match=r"--silence 1\.5: a share"):
        synthetic_jobs(0.1, 1, "train", silence=1.5)


def test_each_speed_of_a_voice_has_clips_of_its_own(tmp_path):
    slow, usual = (Voice("ann", (tmp_path / "a.npz",), speed) for speed in (0.9, 1.0))
    jobs = [synthetic_jobs(0.2, 1, "train", [voice], 1.0) for voice in (slow, usual)]
    assert not {job.key for job in jobs[0]} & {job.key for job in jobs[1]}


def test_louder_rooms_change_nothing_but_the_sound():
    quiet = synthetic_jobs(0.1, 1, "train")[3]
    loud = dataclasses.replace(quiet, noise_db=(-31.0, -30.0))
    assert loud.key != quiet.key and loud.uuid == quiet.uuid
    before, after = quiet.dyad(), loud.dyad()
    assert before.words == after.words and (before.listener.values == after.listener.values).all()
    added = np.sqrt(np.mean(np.square(after.wave[:3000])))  # nobody speaks yet
    assert 20 * np.log10(added) == pytest.approx(-30.5, abs=1.0)
    assert np.sqrt(np.mean(np.square(before.wave[:3000]))) < 0.3 * added


@pytest.mark.parametrize("noise_db", [(-30.0, -70.0), (-30.0, 3.0), (float("nan"), -30.0)])
def test_noise_without_sense(noise_db):
    with pytest.raises(UserError, match="--noise: two levels"):
        check_dyads("varied", 1, 0.0, noise_db)
