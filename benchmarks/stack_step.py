"""One training step of a stack of U-Nets: ours against every other way to do it.

    python benchmarks/stack_step.py                      # the table, 2 CPU cores: an hour
    python benchmarks/stack_step.py --rows 12,16,32      # one row: K, width, side of the slices
    python benchmarks/stack_step.py --rows 1,48,32,3     # any table: and layers within voxels
    python benchmarks/stack_step.py --scaling scaling.png
    python benchmarks/stack_step.py --quick              # one small row, once

"Ours" is the very step that ``train.py`` runs (`dwijax.training.batches.Resident`): sampling,
forward, backward, AdamW, the networks shared out over the cores and STEPS steps a dispatch; "on one
device" the networks are not shared out. A row counts only if loss and gradients of every other way
agree with it to 1e-4. Repeats are interleaved; medians. The peak is the best float32 matrix product
of the same process. FLOP are those of the convolutions, forward and backward, without the gradient
of the images, which nobody computes.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's idle threads must not spin beside us

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # configs/ is in no package
from configs import phantom
from dwijax import config as settings
from dwijax.data.slices import Slices
from dwijax.devices import placement
from dwijax.devices.memory import WHOLE
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.models import unet
from dwijax.process import processes
from dwijax.training.batches import Resident
from dwijax.training.build import build
from dwijax.training.step import make_gradients
from dwijax.training.throughput import product_rate

INPUTS = 30  # and one b0: 31 channels
BATCH = 4
LEVELS, CONVOLUTIONS = 2, 2
LONG = 5.0  # seconds: a step that takes longer is timed once
STEPS = 10  # of ours a dispatch; train.py has `config.log_every` = 20
# The last is the network for any table: its layers within voxels are three times as wide.
ROWS = [*((*stack, side) for side in (32, 64) for stack in ((12, 16), (60, 8), (60, 16), (8, 64))),
        (1, 48, 32, 3)]


class Problem:
    """K U-Nets of one width on random slices: what every way to train them starts from; with an
    ``expansion``, of the kind that the network for any table is."""

    def __init__(self, networks, width, side, expansion=0, *, batch=BATCH):
        config = phantom.get_config("random_start")
        config.update_from_flattened_dict({
            "model.width": width, "model.levels": LEVELS, "model.convolutions": CONVOLUTIONS,
            "model.residual": "none", "model.whiten": False, "model.zero_output": False,
            "model.activation": "silu" if expansion else "relu",
            "model.expansion": expansion, "model.first_kernel": 1 if expansion else 3,
            "patch": 0, "batch": batch, "steps": 1000, "freeze_after": 0})
        self.networks, self.batch = networks, batch
        self.shape = (networks, width, side, expansion)
        n = INPUTS + networks
        self.gtab = GradientTable(np.full(n, 1000.0), np.resize(direction_set(90), (n, 3)))
        rng = np.random.default_rng(0)
        ones = jnp.ones((batch, side, side, 1))
        dwi = jnp.asarray(rng.uniform(0.1, 1, (batch, side, side, n)), jnp.float32)
        self.slices = Slices(
            {"b0": ones, "inputs": dwi[..., :INPUTS], "targets": dwi[..., INPUTS:]}, ones,
            jnp.zeros((batch, 2, 2), jnp.int32))
        self.config, self.scale = config, config.model.output_scale
        self.task = settings.build_task(config, self.gtab, 1)
        self.training = self.placed("single")

    def placed(self, kind):
        """The `Training` of this problem on a placement."""
        where = placement.place(kind, self.networks, self.batch)
        return build(self.config, self.gtab, 1, size=self.shape[2:3] * 2, data=0, where=where)

    def state(self):
        return jax.jit(self.training.init, compiler_options={
            "xla_backend_optimization_level": 1})(self.training.keys)

    def flops(self):
        """Of one step: twice the multiplications, forward and both gradients."""
        total, first = 0, True
        for shape, pixels in _convolutions(*self.shape[1:]):
            work = 2 * np.prod(shape) * pixels
            total += (2 if first else 3) * work
            first = False
        return self.networks * self.batch * int(total)


def _convolutions(width, side, expansion):
    """Kernel shape and output pixels of every convolution of the U-Net, first to last."""
    def block(channels, out, size, first=3):
        for i in range(CONVOLUTIONS):
            kernel = 3 if i else first
            yield (kernel, kernel, out if i else channels, out), size * size
        if expansion:
            yield from [((1, 1, out, expansion * out), size * size)] * 2

    channels, size = INPUTS + 1, side
    for level in range(LEVELS):
        first = 1 if expansion and not level else 3
        yield from block(channels, width << level, size, first)
        channels = width << level
        size //= 2
    size = side >> (LEVELS - 1)
    for level in reversed(range(LEVELS - 1)):
        size *= 2
        yield (2, 2, width << (level + 1), width << level), size * size
        yield from block(width << (level + 1), width << level, size)
    yield (1, 1, width, 1), side * side


# --- the ways ------------------------------------------------------------------------------------
# Each: Problem -> (advance, gradients): advance() does whole steps, waits for them and returns how
# many; gradients() gives (losses [K], {leaf: [K, ...]}) at the initial parameters.


def ours(problem):
    return _stacked(problem, "auto")


def on_one_device(problem):
    return _stacked(problem, "single")


def naive(problem):
    """``jit(vmap(...))`` over ordinary convolutions."""
    with _ordinary_convolutions():
        again = Problem(*problem.shape, batch=problem.batch)
        return _stacked(again, "single", steps=1, pieces=WHOLE)


def _stacked(problem, kind, steps=STEPS, pieces=None):
    training = problem.placed(kind)
    if pieces is not None:
        training = training._replace(plan=training.plan._replace(pieces=pieces))
    place = training.placement
    source = Resident(training, problem.slices, problem.slices)
    gradients = placement.lift(
        place, make_gradients(training.predict, training.task, axes=place.axes,
                              pieces=training.plan.pieces), ("stack", "parts", ("stack", "stack")))
    start = placement.distribute(place, problem.state().params)
    box = [placement.distribute(place, problem.state())]
    began = time.perf_counter()
    source.compile(box[0])
    compile_seconds = time.perf_counter() - began

    def advance():
        box[0], losses = source.advance(box[0], steps)
        losses.block_until_ready()
        return steps

    def found():
        batch = placement.spread(place, problem.slices.read(slice(None)), "parts", problem.batch)
        losses, grads = placement.collect(place, gradients(start, batch))
        return jnp.sum(losses), grads

    return advance, found, compile_seconds


def one_by_one(problem):
    """K separate networks, one after another, each compiled as a network of its own would be."""
    with _ordinary_convolutions():
        network = settings.build_network(problem.config, problem.task)
        optimizer = problem.training.optimizer
        images, mask, _ = problem.slices.read(slice(None))
        x, targets = problem.task.see(images), problem.task.targets(images)

        def step(state, target):
            params, opt_state = state

            def loss(p):
                error = problem.scale * network.apply(p, x) - target
                return jnp.sum(mask * error ** 2) / jnp.sum(mask)

            value, gradients = jax.value_and_grad(loss)(params)
            updates, opt_state = optimizer.update(gradients, opt_state, params)
            return (jax.tree.map(jnp.add, params, updates), opt_state), value, gradients

        params = [network.init(key) for key in problem.training.keys]
        start = [(p, optimizer.init(p)) for p in params]
        began = time.perf_counter()
        compiled = jax.jit(step).lower(start[0], targets[0]).compile()
        compile_seconds = time.perf_counter() - began
    states = list(start)

    def advance():
        for k in range(len(states)):
            states[k], value, _ = compiled(states[k], targets[k])
        value.block_until_ready()
        return 1

    def gradients():
        found = [compiled(s, t)[1:] for s, t in zip(start, targets, strict=True)]
        return (sum(v for v, _ in found),
                jax.tree.map(lambda *leaves: jnp.stack(leaves), *[g for _, g in found]))

    return advance, gradients, compile_seconds


def torch_loop(problem):
    return _torch(problem, vmapped=False)


def torch_vmap(problem):
    return _torch(problem, vmapped=True)


def _torch(problem, vmapped):
    """The same U-Net in PyTorch, channels last, AdamW; a loop, or ``torch.func.vmap``."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(os.cpu_count())
    params = jax.tree.map(np.asarray, problem.state().params)
    flat, tree = jax.tree.flatten(params)
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    images, mask, _ = problem.slices.read(slice(None))

    def channels_first(a):
        return torch.tensor(np.array(a)).permute(0, 3, 1, 2).contiguous(
            memory_format=torch.channels_last)

    x = channels_first(problem.task.see(images))
    targets = torch.stack([channels_first(t) for t in problem.task.targets(images)])
    weights = channels_first(mask / jnp.sum(mask))

    def convolve(x, p, name):
        kernel, bias = p[f"{name}['kernel']"], p[f"{name}['bias']"]
        if kernel.shape[-1] == 2:
            x = F.pad(x, (0, 1, 0, 1))
        return F.conv2d(x, kernel, bias, padding=1 if kernel.shape[-1] == 3 else 0)

    expansion = problem.shape[3]
    activation = F.silu if expansion else F.relu

    def block(h, p, name):
        for i in range(CONVOLUTIONS):
            h = convolve(h, p, f"{name}['convs'][{i}]")
            h = activation(h) if i < CONVOLUTIONS - 1 or not expansion else h
        if expansion:
            wide = activation(convolve(h, p, f"{name}['last']['widen']"))
            h = h + convolve(wide, p, f"{name}['last']['narrow']")
        return h

    def network(p):
        skips, h = [], x
        for level in range(LEVELS):
            h = F.max_pool2d(h, 2) if level else h
            h = block(h, p, f"['down'][{level}]")
            skips.append(h)
        skips.pop()
        for level in reversed(range(LEVELS - 1)):
            h = F.interpolate(h, scale_factor=2, mode="nearest")
            h = torch.cat([skips.pop(), convolve(h, p, f"['up'][{level}]")], 1)
            h = block(h, p, f"['merge'][{level}]")
        return convolve(h, p, "['out']")

    def loss(p, target):
        return (weights * (problem.scale * network(p) - target) ** 2).sum()

    def leaf(a):
        a = torch.tensor(np.array(a))
        return a.permute(*range(a.ndim - 4), -1, -2, -4, -3) if a.ndim >= 4 else a

    if vmapped:
        p = {path: leaf(a).clone().requires_grad_(True)
             for path, a in zip(paths, flat, strict=True)}
        parts = [p]
        each = torch.func.vmap(loss, in_dims=(0, 0))

        def losses():
            return each(p, targets).sum()
    else:
        parts = [{path: leaf(a[k]).clone(memory_format=torch.channels_last).requires_grad_(True)
                  if a[k].ndim == 4 else leaf(a[k]).clone().requires_grad_(True)
                  for path, a in zip(paths, flat, strict=True)} for k in range(problem.networks)]

    optimizers = [torch.optim.AdamW(q.values(), lr=1e-4, foreach=True) for q in parts]

    def backward():
        if vmapped:
            value = losses()
            value.backward()
            return float(value.detach())
        total = 0.0
        for q, target in zip(parts, targets, strict=True):
            value = loss(q, target)
            value.backward()
            total += float(value.detach())
        return total

    def clear():
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)

    def advance():
        clear()
        backward()
        for optimizer in optimizers:
            optimizer.step()
        return 1

    def gradients():
        clear()
        value = backward()

        def back(path):
            grads = [q[path].grad.numpy() for q in parts]
            a = grads[0] if vmapped else np.stack(grads)
            return np.moveaxis(a, (-4, -3, -2, -1), (-1, -2, -4, -3)) if a.ndim == 5 else a

        return value, jax.tree.unflatten(tree, [back(path) for path in paths])

    return advance, gradients, 0.0


class _ordinary_convolutions:
    """Within: networks are built with ``jax.lax``'s convolution."""

    def __enter__(self):
        self.kept = unet.conv_general_dilated
        unet.conv_general_dilated = lax.conv_general_dilated

    def __exit__(self, *_):
        unet.conv_general_dilated = self.kept


WAYS = {"ours": ours, "on one device": on_one_device, "naive jit(vmap)": naive,
        "one by one": one_by_one, "torch loop": torch_loop, "torch vmap": torch_vmap}


# --- measuring -----------------------------------------------------------------------------------


def disagreement(a, b):
    """Largest error of any leaf relative to its own norm, losses included."""
    (loss_a, grads_a), (loss_b, grads_b) = a, b
    errors = [abs(float(loss_a) - float(loss_b)) / abs(float(loss_a))]
    for x, y in zip(jax.tree.leaves(grads_a), jax.tree.leaves(grads_b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        errors.append(np.linalg.norm(x - y) / (np.linalg.norm(x) + 1e-12))
    return max(errors)


def seconds(advance, budget):
    """Seconds a step: as many as fit in ``budget``, at least one."""
    began, count = time.perf_counter(), 0
    while True:
        count += advance()
        spent = time.perf_counter() - began
        if spent > budget:
            return spent / count


def measure(shape, ways, rounds, budget):
    """One row: way to ``(median seconds, compile seconds, disagreement)``, and the peak."""
    problem = Problem(*shape)
    found = {way: WAYS[way](problem) for way in ways}
    reference = found["ours"][1]()
    errors = {way: disagreement(reference, gradients()) for way, (_, gradients, _) in found.items()}
    for advance, _, _ in found.values():
        advance()
    times, peaks = {way: [] for way in ways}, []
    for _ in range(rounds):
        peaks.append(product_rate())
        for way, (advance, _, _) in found.items():
            if not times[way] or times[way][0] < LONG:
                times[way].append(seconds(advance, budget))
            time.sleep(0.05)
    return problem, max(peaks), {
        way: (statistics.median(times[way]), found[way][2], errors[way]) for way in ways}


def table(rows, ways, rounds, budget):
    """Prints the Markdown table row by row."""
    print("| K, width, slices | peak GFLOP/s | " + " | ".join(
        f"{way}, ms (GFLOP/s, of peak)" for way in ways) + " | compile, s |")
    print("|" + "---|" * (len(ways) + 3))
    for networks, width, side, *expansion in rows:
        problem, peak, row = measure((networks, width, side, *expansion), ways, rounds, budget)
        cells = []
        for way in ways:
            elapsed, _, error = row[way]
            rate = problem.flops() / elapsed
            cells.append(f"{elapsed * 1e3:.0f} ({rate / 1e9:.0f}, {rate / peak:.0%})"
                         if error < 1e-4 else f"disagrees by {error:.0e}")
        kind = ", any table" if expansion else ""
        print(f"| {networks}, {width}, {BATCH}×{side}×{side}{kind} | {peak / 1e9:.0f} | "
              + " | ".join(cells) + f" | {row['ours'][1]:.1f} |", flush=True)


def step_seconds(networks, batch, width=16, side=32, budget=1.0, rounds=3):
    """Median of the time of a step, networks shared out over the cores."""
    advance, _, _ = _stacked(Problem(networks, width, side, batch=batch), "auto")
    advance()
    return statistics.median(seconds(advance, budget) for _ in range(rounds))


def step_seconds_on(cores, networks, batch, rounds=3):
    """The same for each of several numbers of cores, as many devices as that; repeats interleaved.

    In processes of their own that have no more cores: here even one device would use them all.
    """
    found = [[] for _ in cores]
    for count, times in list(zip(cores, found, strict=True)) * rounds:
        printed = subprocess.run(
            [sys.executable, __file__, "--step", f"{count},{networks},{batch}"],
            check=True, text=True, stdout=subprocess.PIPE).stdout
        times.append(float(printed))
    return [statistics.median(times) for times in found]


def scaling(path):
    """Draws the time per network and slice against K, the batch and the devices; prints it too."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    most = jax.local_device_count()
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained",
                                  width_ratios=(3, 3, 2))
    every, stacks, batches = range(1, most + 1), (1, 2, 4, 8, 15, 30, 60, 120), (1, 2, 4, 8, 16, 32)
    on_cores = step_seconds_on(every, 30, BATCH)  # first, while this process has nothing to do
    sweeps = {
        f"networks (batch {BATCH})":
            (stacks, ((k, BATCH, most, step_seconds(k, BATCH)) for k in stacks)),
        "slices in a batch (12 networks)":
            (batches, ((12, n, most, step_seconds(12, n)) for n in batches)),
        "devices, a core each (30 networks)":
            (every, ((30, BATCH, n, t) for n, t in zip(every, on_cores, strict=True)))}
    print("| K | batch | devices | ms a step | ms a network and slice |\n|---|---|---|---|---|")
    for panel, (what, (x, rows)) in zip(panels, sweeps.items(), strict=True):
        each = []
        for networks, batch, devices, spent in rows:
            each.append(1e3 * spent / networks / batch)
            print(f"| {networks} | {batch} | {devices} | {1e3 * spent:.1f} | {each[-1]:.3f} |",
                  flush=True)
        panel.plot(x, each, "o-", color="#1f5fa8")
        panel.set_xscale("log", base=2)
        panel.set_xticks(x, x)
        panel.set_xlabel(what)
        panel.grid(alpha=0.3)
    panels[-1].plot(x, [each[0] * x[0] / n for n in x], ":", color="grey", label="linear")
    panels[-1].legend(frameon=False, loc="lower left")
    panels[0].set_ylim(0)
    panels[0].set_ylabel("ms a network and slice")
    figure.suptitle("One training step, U-Nets of width 16, slices of 32×32, "
                    f"{os.cpu_count()} CPU cores: flat is linear in networks and slices")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="*", default=None,
                        help="K,width,side or K,width,side,expansion")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each way in each round")
    parser.add_argument("--scaling", metavar="PNG",
                        help="draw time against K, batch and devices instead")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    parser.add_argument("--step", metavar="CORES,K,BATCH", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        cores, networks, batch = map(int, args.step.split(","))
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        processes.split_cpu()
        print(step_seconds(networks, batch))
        return
    if args.quick:
        args.rows, args.rounds, args.seconds = ["2,4,16", "1,4,16,3"], 1, 0.05
    if importlib.util.find_spec("torch") is None:
        args.ways = [way for way in args.ways if not way.startswith("torch")]
        print("torch is not installed: its columns are left out")
    processes.split_cpu()
    if args.scaling:
        scaling(args.scaling)
        return
    rows = ROWS if args.rows is None else [tuple(map(int, r.split(","))) for r in args.rows]
    print(f"jax {jax.__version__}, {jax.default_backend()}, {os.cpu_count()} cores")
    table(rows, args.ways, args.rounds, args.seconds)


if __name__ == "__main__":
    main()
