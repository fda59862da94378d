"""The tensor fit against dipy and MRtrix3: compute, whole command, distance from the floor, loss.

    python benchmarks/tensor_fit.py                     # 400,000 voxels × 65 volumes, 5 repeats
    python benchmarks/tensor_fit.py --quick             # seconds, to see that it runs
    python benchmarks/tensor_fit.py --voxels 700000 --volumes 108 --command 145 174 145

Repeats of the tools are interleaved; medians are printed, as markdown. MRtrix3 reads and writes
uncompressed files in memory (/dev/shm); the arrays of dipy and dwijax are in memory already.
"""

import argparse
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np

from dwijax import dti
from dwijax.dti.elements import MM2_PER_S, MRTRIX_ORDER, from_matrix, from_order
from dwijax.gradients import GradientTable, direction_set, write_gradients

TILE = 20_000  # voxels at a time: enough for two cores to share, few enough for their caches


def simulated(voxels, volumes, seed=0):
    """float32 [V, M] signals of random tensors with SNR 25, and their table (5 b0)."""
    rng = np.random.default_rng(seed)
    bvals = np.r_[np.full(5, 5.0), np.full(volumes - 5, 1000.0)]
    bvecs = np.r_[direction_set(5, 1), direction_set(volumes - 5)]
    evals = np.sort(rng.uniform(0.2, 1.8, (voxels, 3)), axis=-1).astype(np.float32)
    frame = np.linalg.qr(rng.normal(size=(min(voxels, 4096), 3, 3)))[0].astype(np.float32)
    frame = np.resize(frame, (voxels, 3, 3))
    d = np.einsum("nij,nj,nkj->nik", frame, evals, frame)
    tensor = from_matrix(d)
    design = np.asarray(dti.design_matrix(bvals, bvecs))
    signal = 1000 * np.exp(tensor @ design[:, :6].T)
    for block in np.array_split(signal, 16):
        noise = rng.normal(size=(2, *block.shape)).astype(np.float32) * 40
        block[:] = np.hypot(block + noise[0], noise[1])
    return signal, GradientTable(bvals, bvecs)


def interleaved(jobs, repeats):
    """{name: median seconds} of callables, after one call of each."""
    seconds = {name: [] for name in jobs}
    for i in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if i:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(s) for name, s in seconds.items()}


def compute(signal, gtab, repeats, dipy_voxels):
    """Fits alone. dipy gets part of the voxels; its time is scaled, as it loops over blocks."""
    import dipy.reconst.dti as dipy_dti
    from dipy.core.gradients import gradient_table

    voxels, volumes = signal.shape
    design = dti.design_matrix(gtab.bvals, gtab.bvecs)
    padded = jnp.asarray(np.pad(signal, ((0, -voxels % TILE), (0, 0)), mode="edge"))

    @functools.partial(jax.jit, static_argnames=("options",))
    def fit(x, options):
        tiles = x.reshape(-1, TILE, volumes)
        out = jax.lax.map(lambda s: dti.fit_tensor(s, design, **dict(options)), tiles)
        return out.tensor.reshape(-1, 6)

    options = {
        "wls": (("method", "wls"),),
        "measured": (("method", "wls"), ("start", "measured")),
        "iwls": (("method", "iwls"), ("start", "measured")),
    }
    jobs = {f"dwijax {name}": functools.partial(lambda o: fit(padded, o).block_until_ready(), o)
            for name, o in options.items()}
    table = gradient_table(gtab.bvals, bvecs=gtab.bvecs, b0_threshold=50)
    model = dipy_dti.TensorModel(table, fit_method="WLS")
    part = signal[:dipy_voxels].astype(np.float64)
    jobs["dipy WLS"] = lambda: model.fit(part)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        mrtrix = shutil.which("dwi2tensor") is not None
        if mrtrix:
            mif = Path(folder) / "dwi.mif"
            grid = -(-voxels // 100)
            stored = np.resize(signal, (grid * 100, volumes)).reshape(grid, 100, 1, volumes)
            nib.save(nib.Nifti1Image(stored, np.diag([2, 2, 2, 1])), f"{folder}/dwi.nii")
            write_gradients(gtab, f"{folder}/bval", f"{folder}/bvec")
            subprocess.run(["mrconvert", "-quiet", "-fslgrad", "bvec", "bval", "dwi.nii",
                            "-strides", "2,3,4,1", mif], cwd=folder, check=True)
            os.remove(f"{folder}/dwi.nii")
            del stored
            for name, arguments in [("-iter 0", ["-iter", "0"]), ("(default)", [])]:
                jobs[f"dwi2tensor {name}"] = functools.partial(
                    subprocess.run, ["dwi2tensor", "-quiet", "-force", *arguments, mif,
                                     f"{folder}/dt{len(arguments)}.nii"], check=True)
        seconds = interleaved(jobs, repeats)
        seconds["dipy WLS"] *= voxels / len(part)
        print(f"\n### Compute: {voxels:,} voxels × {volumes} volumes, float32 (others float64)\n")
        print("| tool | seconds | dwijax, same weights | ratio | ΔFA 99 % |\n|---|---|---|---|---|")
        peers = {"dipy WLS": "wls", "dwi2tensor -iter 0": "measured",
                 "dwi2tensor (default)": "iwls"}
        for peer, name in peers.items():
            if peer not in seconds:
                continue
            mine = np.asarray(dti.fractional_anisotropy(fit(padded, options[name])))[:voxels]
            if peer == "dipy WLS":
                theirs, mine = model.fit(part).fa, mine[:dipy_voxels]
            else:
                stored = nib.load(f"{folder}/dt{2 if 'iter' in peer else 0}.nii").get_fdata()
                tensor = from_order(stored.reshape(-1, 6)[:voxels], MRTRIX_ORDER) / MM2_PER_S
                theirs = np.asarray(dti.fractional_anisotropy(jnp.asarray(tensor, jnp.float32)))
            difference = np.percentile(np.abs(mine - theirs), 99)
            own = seconds[f"dwijax {name}"]
            print(f"| {peer} | {seconds[peer]:.2f} | {own:.3f} | {seconds[peer] / own:.0f}× | "
                  f"{difference:.0e} |")
    return seconds["dwijax wls"], padded


def floor(seconds, padded):
    """Bytes and operations of the WLS fit against what this machine can do."""
    voxels, volumes = padded.shape
    moved = padded.nbytes + voxels * 7 * 4
    # Products with 7 columns: start, prediction, right-hand side; with 28: the normal matrix.
    operations = voxels * (2 * volumes * (3 * 7 + 28) + 2 * 7**3 // 3 + 4 * 7 * 7)
    a = jnp.ones((2048, 2048), jnp.float32)
    big = jnp.ones(64 * 2**20, jnp.float32)
    product, total = jax.jit(lambda x: x @ x), jax.jit(jnp.sum)
    log = jax.jit(lambda x: jax.lax.map(lambda t: jnp.exp(jnp.log(t)).sum(), x.reshape(
        -1, TILE, volumes)))
    peak = interleaved({"gemm": lambda: product(a).block_until_ready(),
                        "sum": lambda: total(big).block_until_ready(),
                        "log": lambda: log(padded).block_until_ready()}, 7)
    gemm, bandwidth = 2 * 2048**3 / peak["gemm"], big.nbytes / peak["sum"]
    print("\n### Distance from the floor (WLS)\n")
    print("| | amount | this machine | least seconds | share of the time |\n|---|---|---|---|---|")
    for name, amount, rate, unit in [("bytes read and written", moved, bandwidth, "GB"),
                                     ("multiply-adds of products", operations, gemm, "GFLOP")]:
        print(f"| {name} | {amount / 1e9:.2f} {unit} | {rate / 1e9:.0f} {unit}/s | "
              f"{amount / rate:.4f} | {amount / rate / seconds:.0%} |")
    print(f"| one logarithm and one exponential per sample | {2 * padded.size / 1e6:.0f} million | "
          f"{2 * padded.size / peak['log'] / 1e9:.2f} G/s | {peak['log']:.4f} | "
          f"{peak['log'] / seconds:.0%} |")


def loss(repeats, step_ms):
    """Forward and backward of FA over 92 volumes of a default training batch."""
    signal, gtab = simulated(4 * 32 * 32, 92)
    design = dti.design_matrix(gtab.bvals, gtab.bvecs)
    batch = jnp.asarray(signal).reshape(4, 32, 32, 92)
    target = jnp.full((4, 32, 32), 0.4, jnp.float32)

    def value(s):
        fa = dti.fractional_anisotropy(dti.fit_tensor(s, design).tensor)
        return ((fa - target) ** 2).mean()

    gradient = jax.jit(jax.value_and_grad(value))
    seconds = interleaved({"loss": lambda: gradient(batch)[0].block_until_ready()}, 4 * repeats)
    share = f", {100e3 * seconds['loss'] / step_ms:.1f} % of a step" if step_ms else ""
    print(f"\n### As a loss\n\nFA of 4×32×32 voxels × 92 volumes, forward and backward: "
          f"{1e3 * seconds['loss']:.1f} ms{share}.")


def write_scan(folder, shape, volumes):
    """Writes dwi.nii.gz, mask.nii.gz, bval and bvec; returns the number of voxels in the mask."""
    signal, gtab = simulated(50_000, volumes)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    mask = (grid**2).sum(0) < 0.62  # about a quarter, as heads fill HCP volumes
    data = np.zeros((*shape, volumes), np.float32)
    data[mask] = np.rint(np.resize(signal, (mask.sum(), volumes)))
    affine = np.diag([-1.25, 1.25, 1.25, 1.0])
    nib.save(nib.Nifti1Image(data, affine), folder / "dwi.nii.gz")
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "mask.nii.gz")
    write_gradients(gtab, folder / "bval", folder / "bvec")
    return int(mask.sum())


def peak_of(words, folder):
    """Peak memory of a command, GB."""
    peak = subprocess.run(
        [sys.executable, "-c", "import resource, subprocess, sys; subprocess.run(sys.argv[1:], "
         "check=True, stdout=2); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
         *words], cwd=folder, check=True, capture_output=True, text=True).stdout
    return int(peak) / 2**20


def command(shape, volumes, repeats, keep):
    """Whole commands on one compressed file."""
    with tempfile.TemporaryDirectory(dir=keep) as name:
        folder = Path(name)
        voxels = write_scan(folder, shape, volumes)
        quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL,
                 "stderr": subprocess.DEVNULL}
        ours = [sys.executable, "-m", "dwijax", "fit", "dwi.nii.gz", "--bvals", "bval", "--bvecs",
                "bvec", "--mask", "mask.nii.gz", "-o", "ours", "--quiet", "--force"]
        jobs = {"dwijax fit": lambda: subprocess.run(ours, **quiet)}
        if shutil.which("dwi2tensor"):
            def mrtrix():
                subprocess.run(["dwi2tensor", "-quiet", "-force", "-mask", "mask.nii.gz",
                                "-fslgrad", "bvec", "bval", "dwi.nii.gz", "dt.nii.gz"], **quiet)
                subprocess.run(["tensor2metric", "-quiet", "-force", "-mask", "mask.nii.gz",
                                "-fa", "fa.nii.gz", "-adc", "md.nii.gz", "-ad", "ad.nii.gz",
                                "-rd", "rd.nii.gz", "-vector", "v1.nii.gz", "dt.nii.gz"], **quiet)
            jobs["dwi2tensor + tensor2metric"] = mrtrix
        seconds = interleaved(jobs, repeats)
        if shutil.which("dipy_fit_dti"):
            start = time.perf_counter()
            subprocess.run(["dipy_fit_dti", "dwi.nii.gz", "bval", "bvec", "mask.nii.gz",
                            "--out_dir", "dipy", "--force"], **quiet)
            seconds["dipy_fit_dti (once)"] = time.perf_counter() - start
        peak = peak_of(ours, folder)
        size = (folder / "dwi.nii.gz").stat().st_size
        print(f"\n### Whole command: {'×'.join(map(str, shape))}×{volumes}, {voxels:,} voxels "
              f"in the mask, {size / 1e6:.0f} MB compressed\n\n| command | seconds |\n|---|---|")
        for name, value in seconds.items():
            print(f"| {name} | {value:.1f} |")
        print(f"\nPeak memory of `dwijax fit`: {peak:.2f} GB.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=400_000)
    parser.add_argument("--volumes", type=int, default=65)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dipy-voxels", type=int, default=40_000,
                        help="how many of the voxels dipy gets (its time is scaled)")
    parser.add_argument("--command", type=int, nargs=3, default=(96, 96, 60), metavar="N",
                        help="grid of the whole-command comparison; 0 0 0: none")
    parser.add_argument("--step-ms", type=float, help="a default training step, to compare with")
    parser.add_argument("--folder", help="for the files of the whole-command comparison")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    if args.quick:
        args.voxels, args.volumes, args.repeats = 2_000, 20, 1
        args.dipy_voxels, args.command = 500, (12, 12, 8)
    print(f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, jax {jax.__version__}")
    signal, gtab = simulated(args.voxels, args.volumes)
    seconds, padded = compute(signal, gtab, args.repeats, args.dipy_voxels)
    floor(seconds, padded)
    del signal, padded
    loss(args.repeats, args.step_ms)
    if all(args.command):
        command(args.command, args.volumes, args.repeats, args.folder)


if __name__ == "__main__":
    main()
