"""How many CPU threads the numerical libraries may use."""

import os

from dwijax.errors import InputError


def limit_threads(count):
    """Limits the thread pools of XLA, OpenMP and the BLAS libraries of this process and its own.

    All of them look once, when they start: this comes before jax and numpy are imported. XLA has
    no flag for the size of its pool, but takes ``NPROC`` for the number of processors. Threads are
    not pinned to processors, as commands that run side by side would share the same ones.

    Args:
      count: number of threads; None leaves things as they are.

    Raises:
      InputError: it is not at least 1.
    """
    if count is None:
        return
    if count < 1:
        raise InputError("--threads", found=count, expected="1 or more",
                         remedy="choose another number")
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)


def cores():
    """How many cores this process may keep busy, `limit_threads` obeyed."""
    own = getattr(os, "sched_getaffinity", None)  # Linux
    return int(os.environ.get("NPROC") or (len(own(0)) if own else os.cpu_count()))
