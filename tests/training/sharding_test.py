import itertools
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from lhg_jax.training import sharding
from lhg_jax.util.errors import UserError


def test_logical_axes_choose_the_longest_that_divides():
    assert sharding.logical_axes((3, 301, 256), 4) == (None, None, "weight")
    assert sharding.logical_axes((512, 256), 4) == ("weight", None)
    assert sharding.logical_axes((301, 303), 4) == (None, None)
    assert sharding.logical_axes((64, 64), 4) == (None, None)  # too small to be worth it


def test_colliding_axes_raise():
    with pytest.raises(ValueError, match="mesh axis twice"):
        sharding.to_spec(["clip", "weight"])
    assert sharding.to_spec([None, "weight"]) == PartitionSpec(None, ("fsdp",))


def test_mesh_needs_a_divisor():
    with pytest.raises(UserError, match="fsdp=3 does not divide the 8 devices"):
        sharding.make_mesh(3)
    assert dict(sharding.make_mesh(4).shape) == {"group": 1, "data": 2, "fsdp": 4}


def chip(number: int, coords: tuple[int, ...]) -> Mock:
    """Of a TPU v5p, as far as a mesh looks at one."""
    about = {
        "device_kind": "TPU v5",
        "platform": "tpu",
        "core_on_chip": 0,
        "process_index": 0,
        "slice_index": 0,
    }
    return Mock(spec=jax.Device, id=number, coords=coords, **about)


def test_groups_share_an_axis_of_the_chips_own_grid():
    chips = [chip(n, coords[::-1]) for n, coords in enumerate(itertools.product(range(4), repeat=3))]
    mesh = sharding.make_mesh(1, chips, groups=8)
    assert dict(mesh.shape) == {"group": 8, "data": 8, "fsdp": 1}
    assert {device.id for device in mesh.devices.flat} == set(range(64))


def test_state_is_created_in_parts():
    mesh = sharding.make_mesh(4)
    created = sharding.create_sharded(lambda: {"w": jnp.ones((512, 256)), "b": jnp.ones(256)}, mesh)
    assert {shard.data.shape for shard in created["w"].addressable_shards} == {(128, 256)}
    assert {shard.data.shape for shard in created["b"].addressable_shards} == {(256,)}
    assert jax.device_get(created["w"]).sum() == 512 * 256
