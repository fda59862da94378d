"""Several processes that train one stack together, and what has to be set before JAX starts."""

import os


def deterministic():
    """On GPUs: the same bits in every run. Slower; to be called before JAX is imported."""
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def join(found_out, coordinator, count, index):
    """Makes this process one of several; does nothing where none of that is asked for.

    Args:
      found_out: all is to be found out from Slurm, MPI, Kubernetes or the TPU pod.
      coordinator: otherwise ``host:port`` of process 0. count: of processes. index: of this one.

    Raises:
      InputError: the others cannot be found.
    """
    if not found_out and coordinator is None:
        return
    import jax

    from dwijax.errors import InputError

    try:
        if found_out:
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, count, index)
    except (RuntimeError, ValueError) as error:
        where = "--distributed" if found_out else "--coordinator"
        raise InputError(
            where, found=str(error).splitlines()[0][:200],
            expected="a cluster that JAX knows, or --coordinator, --processes and --process",
            remedy="see jax.distributed.initialize") from error
