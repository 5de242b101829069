import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_toy import ToyListener, random_batch

from lhg_jax.config import CheckpointConfig, OptimizerConfig
from lhg_jax.training import checkpoints
from lhg_jax.training.checkpoints import Checkpoints
from lhg_jax.training.optimizer import make_optimizer
from lhg_jax.training.sharding import create_sharded, make_mesh
from lhg_jax.training.state import init_state
from lhg_jax.util.errors import UserError

ZERO, ONE = np.zeros(70, np.float32), np.ones(70, np.float32)


@functools.cache
def make_state(seed=0, devices=1):
    optimizer = make_optimizer(OptimizerConfig(warmup_steps=1), 10)
    batch = random_batch(0)
    mesh = make_mesh(1, jax.devices()[:devices])
    return create_sharded(lambda: init_state(ToyListener(), optimizer, batch, seed, ZERO, ONE), mesh)


def at_step(state, step):
    return state.replace(step=jnp.asarray(step, jnp.int32))


def open_saves(folder, every=2, keep=2):
    return Checkpoints(folder, CheckpointConfig(every, keep))


def test_round_trip_keeps_every_bit_and_the_place_in_the_data(tmp_path):
    state = at_step(make_state(1), 4)
    saves = open_saves(tmp_path)
    saves.save(state, {"next_batch": 4})
    saves.close()
    again = open_saves(tmp_path)
    restored, place = again.restore(make_state(2))
    again.close()
    assert place == {"next_batch": 4}
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_nothing_saved(tmp_path):
    saves = open_saves(tmp_path)
    assert saves.restore(make_state()) is None
    saves.close()


def test_newest_are_kept(tmp_path):
    saves = open_saves(tmp_path)
    for step in (2, 4, 6):
        assert saves.should_save(step)
        assert not saves.should_save(step + 1)
        saves.save(at_step(make_state(), step), {"next_batch": step})
    saves.close()
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["4", "6"]


def test_damaged_newest_is_named_and_the_one_before_used(tmp_path, capsys):
    saves = open_saves(tmp_path)
    for step in (2, 4):
        saves.save(at_step(make_state(step), step), {"next_batch": step})
    saves.close()
    for file in (tmp_path / "checkpoints" / "4" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    again = open_saves(tmp_path)
    restored, place = again.restore(make_state())
    again.close()
    assert (int(restored.step), place) == (2, {"next_batch": 2})
    assert "checkpoints/4: cannot be restored" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize("part", ["state", "data", "_CHECKPOINT_METADATA"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_damage_of_any_kind_is_found_and_mended_by_the_next_save(tmp_path, part, keep, capsys):
    saves = open_saves(tmp_path)
    for step in (2, 4):
        saves.save(at_step(make_state(step), step), {"next_batch": step})
    saves.close()
    damaged = tmp_path / "checkpoints" / "4" / part
    for file in [damaged] if damaged.is_file() else [f for f in damaged.rglob("*") if f.is_file()]:
        file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    again = open_saves(tmp_path)
    restored, place = again.restore(make_state())
    step = int(restored.step)
    assert place == {"next_batch": step}
    if part == "_CHECKPOINT_METADATA":  # says nothing that is needed: the save is whole
        assert step == 4
    else:
        assert step == 2 and "checkpoints/4: cannot be restored" in capsys.readouterr().err.replace("\n", "")
    again.save(at_step(make_state(7), 4), {"next_batch": 4})
    again.close()
    last = open_saves(tmp_path)
    mended, _ = last.restore(make_state())
    last.close()
    expected = make_state(4 if step == 4 else 7).params
    jax.tree.map(np.testing.assert_array_equal, mended.params, expected)


@pytest.mark.parametrize("best_is, best", [("lowest", 4), ("highest", 2)])
def test_best_save_is_kept_beside_the_newest(tmp_path, best_is, best):
    config = CheckpointConfig(every=2, keep=1, best="L_dec", best_is=best_is)
    saves = Checkpoints(tmp_path, config)
    for step, score in ((2, 1.0), (4, 0.5), (6, float("nan")), (8, 0.9), (10, None)):
        scores = {} if score is None else {"L_dec": score, "exp_l1": 0.0}
        wanted = {"lowest": step in (2, 4), "highest": step == 2}[best_is]
        assert saves.is_best(scores) == wanted
        saves.save(at_step(make_state(step), step), {"next_batch": step}, scores)
    saves.close()
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {str(best), "10"}


def test_best_metric_must_exist(tmp_path):
    saves = Checkpoints(tmp_path, CheckpointConfig(best="accuracy"))
    with pytest.raises(UserError, match=r"checkpoint.best: no metric 'accuracy' \(there are L_dec, exp_l1\)"):
        saves.save(make_state(), {"next_batch": 0}, {"L_dec": 1.0, "exp_l1": 0.0})
    saves.close()


def test_save_of_another_model_is_refused(tmp_path):
    saves = open_saves(tmp_path)
    state = make_state()
    saves.save(at_step(state, 2), {"next_batch": 2})
    saves.close()
    other = state.replace(params={"Dense_9": {"kernel": jnp.zeros((3, 3))}})
    again = open_saves(tmp_path)
    with pytest.raises(UserError, match="no save fits this run"):
        again.restore(other)
    again.close()


def test_restores_on_another_number_of_devices(tmp_path):
    state = at_step(make_state(1, devices=8), 2)
    saves = open_saves(tmp_path)
    saves.save(state, {"next_batch": 2})
    restored, _ = saves.restore(make_state(2, devices=4))
    saves.close()
    assert len(restored.params["Dense_0"]["kernel"].sharding.device_set) == 4
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), jax.device_get(state))


def test_a_save_that_another_process_cannot_read_is_passed_over_by_all(tmp_path, monkeypatch, capsys):
    state = make_state()
    saves = open_saves(tmp_path)
    for step in (2, 4):
        saves.save(at_step(state, step), {"next_batch": step})
    asked = []

    def all_agree(yes):
        asked.append(yes)
        return len(asked) > 1  # the other process could not read the newest

    monkeypatch.setattr(checkpoints, "all_agree", all_agree)
    restored, place = saves.restore(make_state())
    saves.close()
    assert (int(restored.step), place, asked) == (2, {"next_batch": 2}, [True, True])
    assert "4: cannot be restored (by another process)" in capsys.readouterr().err
