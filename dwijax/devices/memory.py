"""What fits into memory: how many networks and slices a device works on at once.

K = 60 U-Nets of the paper's size on 256 slices keep terabytes of activations for the way back. What
one network keeps for one slice is read off its own traced program; from it, and from what must
lie in memory anyway, the largest pieces that fit a budget are chosen.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from dwijax.errors import InputError

# Of a budget, what is planned for: the compiler's own buffers are not all foreseen.
SHARE = 0.8
# Networks that one turn of a layer's loop works on, dwijax.models.convolution; all elsewhere.
LOOP = 4


class Pieces(NamedTuple):
    """How many networks of a device, and how many slices of its batch, are worked on at once.

    None: all. Results do not depend on it, but for rounding; memory does.
    """

    networks: int | None = None
    slices: int | None = None


WHOLE = Pieces()


class Plan(NamedTuple):
    """Of one device.

    Attributes:
      pieces: :class:`Pieces`.
      networks, slices: of the device, all of them.
      budget: bytes. program: bytes before training (Python, JAX; on CPU only).
      data: bytes of the slices on the device. state: of parameters and optimiser, before and
        after an update. activations: of the pieces at work, with gradients.
    """

    pieces: Pieces
    networks: int
    slices: int
    budget: int
    program: int
    data: int
    state: int
    activations: int

    @property
    def total(self):
        """Predicted bytes at the peak."""
        return self.program + self.data + self.state + self.activations

    def __str__(self):
        size = gib
        return (f"memory of a device: {size(self.total)} of {size(self.budget)} GiB = "
                + (f"program {size(self.program)} + " if self.program else "")
                + f"slices {size(self.data)} + parameters and optimiser {size(self.state)} + "
                f"{self.pieces.networks} of {self.networks} networks on {self.pieces.slices} of "
                f"{self.slices} slices at a time {size(self.activations)}")


def gib(n):
    """Bytes as GiB for a reader."""
    return f"{n / 2**30:.2f}"


class Costs(NamedTuple):
    """Bytes of one network: its ``state`` (parameters and optimiser), its ``gradient``, and what
    it keeps for one slice (``kept`` from forward to backward, ``passing`` at its widest)."""

    state: int
    gradient: int
    kept: int
    passing: int


def costs(network, optimizer, shape):
    """:class:`Costs` of a network on one slice, from its traced program; nothing is computed.

    Args:
      network: :class:`dwijax.models.stack.Network`. optimizer: of one network.
      shape: of what the network sees of one slice, ``(H, W, C)``.
    """
    params = jax.eval_shape(network.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    _, back = jax.eval_shape(lambda p, x: jax.vjp(network.apply, p, x), params, x)
    own = _bytes(params)
    kept = sum(_bytes(leaf) for leaf in jax.tree.leaves(back)) - own - _bytes(x)
    through = network.apply
    if jax.default_backend() == "cpu":  # where convolutions copy windows side by side
        through = jax.grad(lambda p, x: jnp.sum(network.apply(p, x)))
    widest = _widest(jax.make_jaxpr(through)(params, x).jaxpr)
    return Costs(own + _bytes(jax.eval_shape(optimizer.init, params)), own, max(kept, 0), widest)


def make_plan(cost, *, networks, slices, outputs, data, budget, coupled, program=0):
    """The largest pieces that fit; on the CPU single networks.

    All networks on all slices where that fits. Otherwise fewer slices, while networks stay
    together, if a loss couples them (they need not go forward twice then); fewer networks first
    if not (their gradients need not be added up). One of them at a time is what a CPU's caches
    hold (docs/results/performance.md).

    Args:
      cost: :class:`Costs`. networks, slices: of the device. outputs: bytes of all networks'
        outputs, targets and of the inputs for one slice.
      data: bytes of the slices on the device. budget: bytes of it. program: bytes in use already.
      coupled: whether a loss couples the networks.

    Raises:
      InputError: not even one network on one slice fits.
    """
    state = 2 * networks * cost.state  # before and after an update
    on_cpu = jax.default_backend() == "cpu"

    def working(k, n):
        # A loop over networks has little more than one of them at its widest; what a single one
        # has there passes while most of what it keeps is gone.
        at_once = (0 if k == 1 < networks else min(k, LOOP)) if on_cpu else k
        kept = n * (k * cost.kept + at_once * 2 * cost.passing + outputs)
        # Of all, twice; once more where those of the pieces are put together.
        gradients = (2 + (k < networks)) * networks * cost.gradient
        gradients += k * cost.gradient if n < slices else 0
        both_ways = slices * outputs if coupled and k < networks else 0
        return kept + gradients + both_ways

    shares_k = [k for k in range(networks, 0, -1) if networks % k == 0]
    shares_n = [n for n in range(slices, 0, -1) if slices % n == 0]
    if coupled:
        order = [(networks, n) for n in shares_n] + [(k, 1) for k in shares_k]
    elif on_cpu:
        order = [(1, n) for n in shares_n]
    else:
        order = [(k, slices) for k in shares_k] + [(1, n) for n in shares_n]
    for k, n in order:
        plan = Plan(Pieces(k, n), networks, slices, budget, program, data, state, working(k, n))
        if plan.total <= SHARE * budget:
            return plan
    raise InputError(
        "--config.memory_gb", found=f"{gib(budget)} GiB",
        expected=f"at least {gib(plan.total / SHARE)} GiB for one network on one slice at "
                 "a time", remedy="use more devices or a smaller network, or stream the slices "
                 "(--config.data.layout=store)")


def device_budget():
    """Bytes of one device: a GPU's or TPU's own; on CPU the smaller of the control group's limit
    and the memory available (shared by all virtual devices)."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return statistics["bytes_limit"]
    import psutil

    available = psutil.virtual_memory().available + resident()
    return min([available, *_group_limits()]) // jax.local_device_count()


def resident():
    """Bytes that this process has in memory."""
    import psutil

    return psutil.Process().memory_info().rss


def peak():
    """Largest number of bytes so far, of the first device, or of this process on CPU."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _group_limits():
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            yield int(Path(path).read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue


def _bytes(tree):
    return sum(int(np.prod(a.shape)) * a.dtype.itemsize for a in jax.tree.leaves(tree))


def _widest(jaxpr):
    """Bytes of the largest value in a program."""
    sizes = [_bytes(v.aval) for equation in jaxpr.eqns for v in equation.outvars]
    sizes += [_widest(inner) for equation in jaxpr.eqns
              for inner in jaxprs_in_params(equation.params)]
    return max(sizes, default=0)
