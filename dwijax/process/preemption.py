"""SIGTERM, as schedulers and spot instances send it: the run ends in order, with status 0.

Around the training loop it is a wish that is granted at the end of the running dispatch;
elsewhere there is nothing to save, and the process ends at once.
"""

import contextlib
import signal
import sys
import threading


class Stopped(SystemExit):
    """SIGTERM came where there is nothing to save."""


def exit_on_sigterm():
    """From here on SIGTERM raises :class:`Stopped` after one line: status 0, cleaning up."""
    def handler(*_):
        print("stopped by SIGTERM; the same command goes on from the last checkpoint",
              file=sys.stderr, flush=True)
        raise Stopped(0)

    signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def deferred_sigterm():
    """Yields ``stopping() -> bool``: whether SIGTERM has come, to any process of the run.

    The first one is only noted; a second one ends the process at once. With several processes
    ``stopping`` is a collective: all call it equally often and all get the same answer, so that
    they stop at the same step.
    """
    received = []

    def handler(*_):
        received.append(True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def stopping():
        import jax
        from jax.experimental import multihost_utils

        mine = bool(received)
        if jax.process_count() == 1:
            return mine
        return bool(multihost_utils.process_allgather(mine).any())

    if threading.current_thread() is not threading.main_thread():
        yield stopping  # Python delivers signals to the main thread alone
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGTERM, before)
