"""Several processes that train one stack together, and what has to be set before JAX starts."""

import os

from dwijax.process import threads


def deterministic():
    """On GPUs: the same bits in every run. Slower; to be called before JAX is imported."""
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def split_cpu(count=None, most=8):
    """On CPU: makes devices of the cores, for a placement to share a stack out among them.

    A network's layers are too small to keep several cores busy; networks, or slices, beside each
    other do (docs/results/performance.md). Where JAX's backends have started, all stays as it is;
    so do other kinds of devices, and ``XLA_FLAGS`` that already name a number.

    Args:
      count: devices; default one for each core, up to ``most``, as each holds the slices.
    """
    import jax

    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", count or min(threads.cores(), most))
    except RuntimeError:  # they have started
        return
    # A run that was suspended for a minute (Ctrl-Z, a closed laptop) goes on: XLA complains of
    # devices that wait for each other, by the clock, and has a time after which it gives up.
    os.environ["XLA_FLAGS"] = " ".join([
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=3600",
        "--xla_cpu_collective_call_terminate_timeout_seconds=604800"]).strip()


def join(automatic, coordinator, count, index):
    """Makes this process one of several; does nothing where none of that is asked for.

    Args:
      automatic: all of it is asked of Slurm, MPI, Kubernetes or the TPU pod.
      coordinator: otherwise ``host:port`` of process 0. count: of processes. index: of this one.

    Raises:
      InputError: the others cannot be found.
    """
    if not automatic and coordinator is None:
        return
    import jax

    from dwijax.errors import InputError

    try:
        if automatic:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, count, index)
    except (RuntimeError, ValueError) as error:
        where = "--distributed" if automatic else "--coordinator"
        raise InputError(
            where, found=str(error).splitlines()[0][:200],
            expected="a cluster that JAX knows, or --coordinator, --processes and --process",
            remedy="see jax.distributed.initialize") from error
