"""Which part of every array lies on which device: a mesh of three axes and one table of logical axes.

The mesh is ('group', 'data', 'fsdp'): groups of devices that compare their clips (losses/groups.py), one
unless the loss asks for more; devices with other clips; devices that share a copy of the parameters.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lhg_jax.training.state import PyTree
from lhg_jax.util.errors import UserError

MESH_AXES = ("group", "data", "fsdp")

# Logical axis -> mesh axes. Clips are spread over all devices, those of a group over its devices. Of each
# large parameter one axis is spread over the devices that share a copy; everything else is on every device.
RULES: dict[str, tuple[str, ...]] = {
    "clip": MESH_AXES,
    "group": ("group",),
    "clip of a group": ("data", "fsdp"),
    "weight": ("fsdp",),
}

# Entries (64 kB), chosen and not timed: 231 of the 315 parameters of `lhg_base` are smaller, and together
# they are 1 % of it. Spreading them would save no memory worth a collective for each.
MIN_SHARDED_SIZE = 2**14


def make_mesh(fsdp: int, devices: Sequence[jax.Device] | None = None, groups: int = 1) -> Mesh:
    """All devices (or those given) as `group` x `data` x `fsdp`.

    Args:
      fsdp: devices that share a copy of the parameters.
      devices: those of the mesh; None: all.
      groups: of clips whose time stamps are compared. Devices hold whole groups where there are at least as
        many groups; the axis `group` then has size 1.

    Raises:
      UserError: fsdp does not divide the devices, or those of a group.
    """
    devices = jax.devices() if devices is None else devices
    if fsdp < 1 or len(devices) % fsdp:
        raise UserError(f"train.fsdp={fsdp} does not divide the {len(devices)} devices")
    groups = 1 if groups % len(devices) == 0 else groups
    if len(devices) % (groups * fsdp):
        raise UserError(
            f"loss.group_clips: {len(devices)} devices do not divide into {groups} groups with "
            f"train.fsdp={fsdp} (neither do the groups divide over the devices)"
        )
    shape = (groups, len(devices) // (groups * fsdp), fsdp)
    # `jax.make_mesh` divides an axis of the chips' own grid on v5e alone: 8 groups do not fit 4 x 4 x 4 then.
    grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(grid, MESH_AXES, axis_types=(AxisType.Auto,) * 3)


def logical_axes(shape: tuple[int, ...], fsdp: int) -> tuple[str | None, ...]:
    """Names of the axes of one parameter: `weight` for the longest one that divides by `fsdp`, else None."""
    if np.prod(shape) < MIN_SHARDED_SIZE:
        return (None,) * len(shape)
    fitting = [axis for axis, size in enumerate(shape) if size % fsdp == 0]
    longest = max(fitting, key=lambda axis: shape[axis], default=None)
    return tuple("weight" if axis == longest else None for axis in range(len(shape)))


def to_spec(names: Sequence[str | None]) -> PartitionSpec:
    """Logical names -> PartitionSpec. Raises ValueError where two of them claim the same mesh axis."""
    entries = [RULES[name] if name else None for name in names]
    used = [axis for entry in entries if entry for axis in entry]
    if len(used) != len(set(used)):
        raise ValueError(f"logical axes {tuple(names)} use a mesh axis twice: {used}")
    return PartitionSpec(*entries)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Clips spread over all devices."""
    return NamedSharding(mesh, to_spec(["clip"]))


def stacked_sharding(mesh: Mesh, count: int) -> NamedSharding:
    """Of `count` batches, as `many_steps` takes them."""
    return batch_sharding(mesh) if count == 1 else NamedSharding(mesh, to_spec([None, "clip"]))


def group_sharding(mesh: Mesh, groups: int) -> NamedSharding:
    """Of arrays [group, clip, ...]: as `batch_sharding` has their clips."""
    whole = groups % mesh.size == 0
    return NamedSharding(mesh, to_spec(["clip"] if whole else ["group", "clip of a group"]))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_sharding(mesh: Mesh, shapes: PyTree) -> PyTree:
    """Layout of a whole state (or any tree of arrays or their shapes)."""
    fsdp = mesh.shape["fsdp"]
    return jax.tree.map(lambda x: NamedSharding(mesh, to_spec(logical_axes(x.shape, fsdp))), shapes)


def abstract_sharded(create: Callable[[], PyTree], mesh: Mesh) -> PyTree:
    """Shapes, types and layout of what `create` would make, without making it."""
    shapes = jax.eval_shape(create)
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        state_sharding(mesh, shapes),
    )


def create_sharded(create: Callable[[], PyTree], mesh: Mesh) -> PyTree:
    """Runs `create` so that no device ever holds more than its own part of the result."""
    # It runs once, and XLA:CPU compiles it in a quarter of the time when it does not optimise.
    options = {"xla_backend_optimization_level": 0} if mesh.devices.flat[0].platform == "cpu" else None
    sharding = state_sharding(mesh, jax.eval_shape(create))
    return jax.jit(create, out_shardings=sharding, compiler_options=options)()


def on_host(tree: PyTree, mesh: Mesh) -> PyTree:
    """Whole numpy arrays of a tree spread over the mesh; every process has to call it."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), _gather(mesh)(tree))


@functools.cache  # else it compiled anew for each save and each evaluation
def _gather(mesh: Mesh) -> Callable[[PyTree], PyTree]:
    """Puts all of a tree on every device."""
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))
