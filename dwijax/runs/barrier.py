"""What several processes need once: one makes it, all find it on the file system."""

from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


def first_makes(make: Callable[[], Made], timeout: int = 24 * 3600) -> Made:
    """``make()`` in process 0, then in the others, which find what it made.

    They wait at a barrier of orbax's, which takes a time limit and occupies no device; that of JAX
    (`jax.experimental.multihost_utils.sync_global_devices`) is a collective, and collectives of
    devices that wait for hours give up.

    Args:
      make: a function without arguments. timeout: seconds that the others wait.
    """
    import jax

    if jax.process_count() == 1:
        return make()
    from orbax.checkpoint import multihost

    barrier = multihost.get_barrier_sync_fn()
    if jax.process_index():
        barrier(key="made", timeout_ms=1000 * timeout)
        return make()
    made = make()
    barrier(key="made", timeout_ms=1000 * timeout)
    return made
