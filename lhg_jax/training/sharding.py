"""Which part of every array lies on which device: a ('data', 'fsdp') mesh and one table of logical axes."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lhg_jax.training.state import PyTree
from lhg_jax.util.errors import UserError

# Logical axis -> mesh axes. Clips are spread over all devices. Of each large parameter one axis is spread
# over the devices that share a copy; everything else is on every device.
RULES: dict[str, tuple[str, ...]] = {"clip": ("data", "fsdp"), "weight": ("fsdp",)}

# Entries (64 kB), chosen and not timed: 231 of the 315 parameters of `lhg_base` are smaller, and together
# they are 1 % of it. Spreading them would save no memory worth a collective for each.
MIN_SHARDED_SIZE = 2**14


def make_mesh(fsdp: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices (or those given) as `data` x `fsdp`. Raises `UserError` where fsdp does not divide them."""
    devices = jax.devices() if devices is None else devices
    if fsdp < 1 or len(devices) % fsdp:
        raise UserError(f"train.fsdp={fsdp} does not divide the {len(devices)} devices")
    shape = (len(devices) // fsdp, fsdp)
    return jax.make_mesh(shape, ("data", "fsdp"), (AxisType.Auto, AxisType.Auto), devices=devices)


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
