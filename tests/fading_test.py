"""Less of a trait: that is taken out of a motion, and what else is in it stays."""

import itertools

import numpy as np
import pytest

from lhg_jax.face_model import action, action_map
from lhg_jax.fading import FADES, check_space, faded
from lhg_jax.metrics.liveliness import liveliness
from lhg_jax.motion import LANDMARK, TDDFA, Motion
from lhg_jax.styles import action_amounts, traits_of
from lhg_jax.util.errors import UserError

FRAMES = 900
EXP, ANGLE = LANDMARK.slice("exp"), LANDMARK.slice("angle")
BLINKS = np.arange(40, FRAMES - 40, 75)  # frames


def listener(seed: int = 0) -> np.ndarray:
    """Sway every ten seconds, nods of six degrees, smiles, blinks, and a brow that goes up and down."""
    rng, t = np.random.default_rng(seed), np.arange(FRAMES) / 30
    values = np.zeros((FRAMES, LANDMARK.size))
    nod = np.sin(2 * np.pi * 2 * t) * (t % 6 < 1)
    sway = np.stack([np.sin(2 * np.pi * 0.1 * t + phase) for phase in rng.uniform(0, 6, 3)], axis=1)
    values[:, ANGLE] = np.deg2rad(4 * (sway - sway[0]))
    values[:, ANGLE.start] += np.deg2rad(6) * nod
    blink = sum(np.exp(-(((np.arange(FRAMES) - frame) / 2) ** 2)) for frame in BLINKS)
    smile, brow = 0.5 - 0.5 * np.cos(0.5 * t), rng.uniform(0, 0.1, FRAMES)
    amounts = {"blink": blink * rng.uniform(0.8, 1.0), "smile": smile, "brow_raise": brow}
    values[:, EXP] = sum(np.outer(amount, action(name)) for name, amount in amounts.items())
    return values


@pytest.mark.parametrize(("trait", "figure"), [("nods", "nods_per_min"), ("blinks", "blinks_per_min")])
def test_zero_leaves_no_nod_and_no_blink(trait, figure):
    values = listener()
    before, after = (
        liveliness(Motion(LANDMARK, x)) for x in (values, faded(values, LANDMARK, {trait: 0.0}, seed=3))
    )
    assert before[figure] > 8 and after[figure] == 0


def test_smiles_are_as_wide_as_the_factor_says():
    values = listener()
    motions = (faded(values, LANDMARK, {"smiles": factor}, seed=0) for factor in (1.0, 0.5, 0.0))
    before, half, none = (action_amounts(motion[:, EXP])["smile"] for motion in motions)
    np.testing.assert_allclose(half, before / 2, atol=1e-9)
    assert before.max() > 0.9 and np.abs(none).max() < 1e-9


def test_without_liveliness_the_head_stays_about_where_it_was():
    values = listener()
    still = faded(values, LANDMARK, {"liveliness": 0.0}, seed=0)
    moved, left = (np.abs(np.rad2deg(x[:, ANGLE][:, 1:])).max() for x in (values, still))
    assert moved > 4 and left < moved / 10
    nods = [liveliness(Motion(LANDMARK, x))["nods_per_min"] for x in (values, still)]
    assert nods[0] == nods[1] > 8


@pytest.mark.parametrize("trait", FADES)
def test_nothing_else_changes_and_the_first_frame_stays(trait):
    values = listener()
    less = faded(values, LANDMARK, {trait: 0.3}, seed=0)
    np.testing.assert_allclose(less[0], values[0], atol=1e-12)
    before, after = (traits_of(Motion(LANDMARK, x)) for x in (values, less))
    assert after[trait] < before[trait]
    for name in set(before) - {trait} - ({"liveliness"} if trait == "nods" else set()):
        np.testing.assert_allclose(after[name], before[name], rtol=0.05, err_msg=name)
    np.testing.assert_array_equal(faded(values, LANDMARK, {trait: 1.0}, seed=0), values)
    np.testing.assert_array_equal(faded(values, LANDMARK, {trait: 1.7}, seed=0), values)


def test_fewer_blinks_are_some_of_more_and_stay_as_they_are():
    values = listener()
    blinks = action_amounts(values[:, EXP])["blink"][BLINKS]
    kept = []
    for factor in (0.2, 0.4, 0.6, 0.8):
        left = action_amounts(faded(values, LANDMARK, {"blinks": factor}, seed=1)[:, EXP])["blink"][BLINKS]
        stays = left > 0.5
        np.testing.assert_allclose(left[stays], blinks[stays], atol=1e-9)
        assert (left[~stays] < 0.1).all()
        kept.append(stays)
    assert all((less <= more).all() for less, more in itertools.pairwise(kept))
    assert 0 < kept[0].sum() < kept[-1].sum() < len(BLINKS)


@pytest.mark.parametrize("frames", [1, 2, 3, 10])
def test_short_motions(frames):
    values = np.random.default_rng(0).normal(size=(frames, LANDMARK.size))
    assert np.isfinite(faded(values, LANDMARK, dict.fromkeys(FADES, 0.0), seed=0)).all()


def test_action_maps_are_projections_that_miss_other_actions():
    smile, blink = action_map("smile"), action_map("blink")
    np.testing.assert_allclose(smile @ smile, smile, atol=1e-9)
    np.testing.assert_allclose(smile @ blink, 0, atol=1e-9)
    np.testing.assert_allclose(action("smile") @ smile, action("smile"), atol=1e-9)


def test_other_spaces_have_no_smiles_and_blinks_to_take_out():
    with pytest.raises(UserError, match="--smiles: only a listener in the landmark space"):
        check_space(TDDFA, {"smiles": 0.5})
    check_space(TDDFA, {"smiles": 1.5, "nods": 0.0})
    values = np.random.default_rng(0).normal(size=(90, TDDFA.size))
    less = faded(values, TDDFA, {"nods": 0.0}, seed=0)
    changed = np.flatnonzero(np.abs(less - values).max(axis=0))
    assert changed.tolist() == [TDDFA.slice("angle").start]
