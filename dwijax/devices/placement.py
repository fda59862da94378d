"""One device, or many: where the networks of a stack and the slices of a batch lie.

The step knows one device (:mod:`dwijax.training.step`). Here it is put on a mesh of devices
(direction, batch): networks are shared out along the first axis, the slices of a batch along the
second. ``pmap`` is the older way to say the same with networks alone.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from dwijax.errors import InputError

KINDS = ("auto", "single", "pmap", "mesh")

# Slices that go through a stack at once where it predicts, at least.
_BATCH = 4


_SMALL = 2**18  # numbers, 1 MiB: with more the exchange takes longer than the copies


class Axes(NamedTuple):
    """Where a device stands: names and lengths of the mesh axes; a name is None without one."""

    direction: str | None = None
    batch: str | None = None
    directions: int = 1
    batches: int = 1

    def total(self, tree):
        """Sum over the parts of a batch.

        Small arrays go together: in each exchange devices wait for one another.
        """
        if not self.batch:
            return tree
        leaves, structure = jax.tree.flatten(tree)
        small = [a for a in leaves if a.size <= _SMALL]
        flat, apart = ravel_pytree(small)
        flat, large = lax.psum((flat, [a for a in leaves if a.size > _SMALL]), self.batch)
        small, large = iter(apart(flat)), iter(large)
        return structure.unflatten([next(small if a.size <= _SMALL else large) for a in leaves])

    def part(self):
        """Which part of the batch is this device's."""
        return lax.axis_index(self.batch) if self.batch else 0

    def rows(self, networks, stack):
        """Positions in the stack of K of this device's networks.

        A stack that the devices do not divide is filled up with copies of its last network, whose
        results nobody reads.
        """
        if not self.direction:
            return None
        rows = lax.axis_index(self.direction) * networks + jnp.arange(networks)
        return jnp.minimum(rows, stack - 1)


ALONE = Axes()


class Placement(NamedTuple):
    """Where a stack of ``networks`` trains.

    Attributes:
      kind: ``single``, ``pmap`` or ``mesh``. networks: K.
      mesh: ``jax.sharding.Mesh`` with axes (direction, batch), or None on a single device.
    """

    kind: str
    networks: int
    mesh: jax.sharding.Mesh | None

    def __str__(self):
        backend = jax.default_backend()
        if self.mesh is None:
            return f"one {backend} device"
        shape = "×".join(map(str, self.mesh.devices.shape))
        copies = self.padded - self.networks
        return (f"{self.kind} of {shape} {backend} devices (networks × batch)"
                + (f", {copies} of {self.padded} networks are filling" if copies else ""))

    @property
    def axes(self):
        """:class:`Axes` of every device."""
        if self.mesh is None:
            return ALONE
        directions, batches = self.mesh.devices.shape
        if self.kind == "pmap":
            return Axes("direction", None, directions, 1)
        return Axes("direction", "batch", directions, batches)

    @property
    def per_device(self):
        """Networks of a device, copies to fill up the last one included."""
        return -(-self.networks // self.axes.directions)

    @property
    def padded(self):
        """Networks of all devices together."""
        return self.per_device * self.axes.directions


def place(kind, networks, batch, *, directions=0, devices=None):
    """Chooses the mesh.

    Args:
      kind: ``single``, ``pmap`` (networks over all devices), ``mesh``, or ``auto``: a mesh where
        there are several devices.
      networks: K. batch: N.
      directions: devices along the direction axis; 0: the split with the least work for a
        device, and of these the one with fewest copies of networks.
      devices: those to use; default all there are.

    Raises:
      InputError: ``directions`` does not divide the devices, or the batch cannot be shared out.
    """
    devices = jax.devices() if devices is None else devices
    n = len(devices)
    if kind == "auto":
        kind = "mesh" if n > 1 else "single"
    if kind == "single":
        if jax.process_count() > 1:
            raise InputError("--config.placement", found=f"single with {jax.process_count()} "
                             "processes", expected="mesh or pmap",
                             remedy="give --config.placement=mesh")
        return Placement(kind, networks, None)
    if kind == "pmap":
        if directions not in (0, n):
            raise InputError("--config.mesh_directions", found=str(directions), expected=str(n),
                             remedy="pmap has no batch axis; use --config.placement=mesh")
        directions = n
    elif not directions:
        shapes = [d for d in range(1, n + 1) if n % d == 0 and batch % (n // d) == 0]
        if not shapes:
            raise InputError(
                "--config.batch", found=str(batch),
                expected=f"a batch that {n} devices can share",
                remedy="give a batch size that the number of devices, or a divisor, divides")
        # Work of the busiest device; then less communication: fewer parts of the batch.
        directions = min(shapes, key=lambda d: (-(-networks // d) * (batch * d // n), -d))
    elif n % directions or batch % (n // directions):
        raise InputError(
            "--config.mesh_directions", found=f"{directions} with {n} devices and batch {batch}",
            expected="a divisor of the devices whose quotient divides the batch",
            remedy="give another, or 0 for the best")
    mesh = jax.make_mesh((directions, n // directions), ("direction", "batch"), devices=devices,
                         axis_types=(AxisType.Auto, AxisType.Auto))
    return Placement(kind, networks, mesh)


def lift(placement, function, takes, *, donate=()):
    """The function of one device as a compiled function of global arrays.

    Args:
      function: of a device's arrays; see :mod:`dwijax.training.step`.
      takes: what each argument is and, last, what is returned: ``stack`` (leaves ``[K, ...]``),
        ``parts`` (of a batch, leaves ``[N, ...]``), ``same`` (arrays on all devices), ``number``,
        or a tuple of these, named or not.
      donate: arguments that are used up.
    """
    if placement.mesh is None:
        return jax.jit(function, donate_argnums=donate)
    *arguments, result = takes
    if placement.kind == "pmap":
        # Arrays have a leading axis of devices; numbers that all share are the exception.
        return jax.pmap(function, axis_name="direction", donate_argnums=donate,
                        in_axes=tuple(None if a == "number" else 0 for a in arguments),
                        devices=list(placement.mesh.devices.flat))
    named = {"stack": P("direction"), "parts": P("batch"), "same": P(), "number": P()}

    def specs(takes):
        if isinstance(takes, str):
            return named[takes]
        parts = map(specs, takes)
        return type(takes)(*parts) if hasattr(takes, "_fields") else tuple(parts)

    # No collective is differentiated, so nothing is to be gained from tracking what varies.
    mapped = jax.shard_map(function, mesh=placement.mesh, check_vma=False,
                           in_specs=specs(tuple(arguments)), out_specs=specs(result))
    return jax.jit(mapped, donate_argnums=donate)


def share_slices(predict, params):
    """A stack as it is, its slices shared out over the devices of this process.

    Args:
      predict: from :func:`dwijax.tasks.task.predictor`. params: leaves ``[K, ...]``.

    Returns:
      ``(predict, params)``, compiled and in place, of ``(params, x [N, H, W, C]) -> [K, N, H, W,
      D]``. The devices must divide N.
    """
    devices = jax.local_devices()
    if jax.default_backend() == "cpu":
        predict = _in_turn(predict)
    if len(devices) == 1:
        return jax.jit(predict), params
    mesh = jax.make_mesh((len(devices),), ("batch",), devices=devices,
                         axis_types=(AxisType.Auto,))
    shared = jax.shard_map(predict, mesh=mesh, check_vma=False, in_specs=(P(), P("batch")),
                           out_specs=P(None, "batch"))
    return jax.jit(shared), jax.device_put(params, NamedSharding(mesh, P()))


def _in_turn(predict):
    """One network after the other through all its layers: what is between these stays in caches."""
    def alone(x, network):
        params, row = jax.tree.map(lambda a: a[None], network)
        return predict(params, x, row)[0]

    def predict_all(params, x):
        return lax.map(partial(alone, x), (params, jnp.arange(len(jax.tree.leaves(params)[0]))))

    return predict_all


def predict_slices(predict, params, see, count, *, progress=iter):
    """Predictions a few slices at a time, always as many: one shape, one compilation.

    Args:
      predict, params: from :func:`share_slices`.
      see: ``slice -> x [n, H, W, C]``, what networks see of these slices.
      count: number of slices. progress: wraps the batches that are gone through.

    Yields:
      ``(slice, float32 [K, n, H, W, D])``.
    """
    devices = jax.local_device_count()
    batch = -(-_BATCH // devices) * devices
    for start in progress(range(0, count, batch)):
        part = slice(start, min(start + batch, count))
        x = np.asarray(see(part))
        n = len(x)
        x = np.pad(x, [(0, batch - n), (0, 0), (0, 0), (0, 0)])
        yield part, np.asarray(predict(params, x))[:, :n]


def sharding(placement, leaf):
    """Where a leaf ``[K, ...]`` of a stack lies outside the lifted functions, as in checkpoints."""
    if placement.mesh is None:
        return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    stacked = leaf.ndim and placement.padded == placement.networks
    return NamedSharding(placement.mesh, P("direction") if stacked else P())


def abstract(placement, tree):
    """``jax.ShapeDtypeStruct`` of a tree of ``[K, ...]`` leaves, with their sharding."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(
        a.shape, a.dtype, sharding=sharding(placement, a)), tree)


def distribute(placement, tree):
    """A tree with leaves ``[K, ...]``, or scalars, as lifted functions take it.

    The stack is filled up to a multiple of the devices with copies of its last network.
    """
    if placement.mesh is None:
        return tree
    extra = placement.padded - placement.networks
    pmapped = placement.kind == "pmap"
    spec = NamedSharding(placement.mesh, P("direction"))
    everywhere = NamedSharding(placement.mesh, P())
    directions = placement.axes.directions

    def fill(leaf):
        if not leaf.ndim:
            return jnp.broadcast_to(leaf, (directions,)) if pmapped else leaf
        if extra:
            leaf = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], extra, axis=0)])
        return leaf.reshape(directions, -1, *leaf.shape[1:]) if pmapped else leaf

    out = jax.tree.map(lambda a: spec if a.ndim or pmapped else everywhere, tree)
    return jax.jit(lambda t: jax.tree.map(fill, t), out_shardings=out)(tree)


def collect(placement, tree):
    """The inverse of :func:`distribute`."""
    if placement.mesh is None or (placement.kind == "mesh"
                                  and placement.padded == placement.networks):
        return tree
    pmapped = placement.kind == "pmap"

    def back(leaf):
        if pmapped:
            leaf = leaf.reshape(-1, *leaf.shape[2:]) if leaf.ndim > 1 else leaf[0]
        return leaf[: placement.networks] if leaf.ndim else leaf

    return jax.jit(lambda t: jax.tree.map(back, t))(tree)


def positions(placement, batch):
    """Places in a batch of N that this process's devices work on; None: all."""
    if placement.mesh is None or placement.kind == "pmap" or jax.process_count() == 1:
        return None
    size = batch // placement.axes.batches
    mine = sorted({int(where[1]) for where in np.argwhere(np.vectorize(
        lambda d: d.process_index == jax.process_index())(placement.mesh.devices))})
    return np.concatenate([np.arange(i * size, (i + 1) * size) for i in mine])


def spread(placement, tree, what, batch=None):
    """Host arrays as lifted functions take them.

    Args:
      what: ``same``: all of it on every device, given by every process; ``parts``: of a batch of
        N = ``batch``, each device its part; a process gives those of its :func:`positions`.
    """
    if placement.mesh is None:
        return jax.tree.map(jnp.asarray, tree)
    there = positions(placement, batch) if what == "parts" else None
    if placement.kind == "pmap":
        tree = jax.tree.map(
            lambda a: np.broadcast_to(a, (placement.axes.directions, *np.shape(a))), tree)
        spec = P("direction")
    else:
        spec = P("batch") if what == "parts" else P()
    where = NamedSharding(placement.mesh, spec)

    def put(a):
        def part(index):
            if there is not None:
                rows = np.arange(batch)[index[0]]
                return a[np.searchsorted(there, rows)]
            return np.asarray(a)[index]

        shape = np.shape(a) if there is None else (batch, *a.shape[1:])
        return jax.make_array_from_callback(shape, where, part)

    return jax.tree.map(put, tree)


def fetch(placement, stacked):
    """A ``[K]`` result of a lifted function on the host of every process."""
    if jax.process_count() > 1:
        stacked = multihost_utils.process_allgather(stacked, tiled=True)
    return np.asarray(stacked).reshape(-1)[: placement.networks]
