"""CPU threads: how many the numerical libraries may use, and work done ahead in others."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from dwijax.errors import InputError

MOST = 1024  # each has a stack; XLA aborts the process where the system refuses it


def limit_threads(count):
    """Limits the thread pools of XLA, OpenMP and the BLAS libraries of this process and its own.

    All of them look once, when they start: this comes before jax and numpy are imported. XLA has
    no flag for the size of its pool, but takes ``NPROC`` for the number of processors. Threads are
    not pinned to processors, as commands that run side by side would share the same ones.

    Args:
      count: number of threads; None leaves things as they are.

    Raises:
      InputError: it is not 1 to `MOST`, or ``NPROC`` is set and is not.
    """
    if count is None:
        cores()
        return
    if not 1 <= count <= MOST:
        raise InputError("--threads", found=count, expected=f"1 to {MOST}",
                         remedy="choose another number")
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)


def cores():
    """How many cores this process may keep busy, `limit_threads` obeyed.

    Raises:
      InputError: ``NPROC`` is set, but is not 1 to `MOST`.
    """
    own = getattr(os, "sched_getaffinity", None)  # Linux
    given = os.environ.get("NPROC")
    if not given:
        return len(own(0)) if own else os.cpu_count()
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= MOST):
        raise InputError("NPROC", found=given[:40], expected=f"1 to {MOST} processors",
                         remedy="correct or unset this environment variable")
    return int(given)


def prefetch(function, items, workers=1):
    """Yields ``function(item)`` in order, the next ones in the making while one is looked at.

    Args:
      function: called in other threads; what it raises is raised here, in its turn.
      items: iterable, taken from in this thread, ``workers`` items before they are needed.
      workers: threads, and results that wait.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        for last in pending:
            yield last.result()
