"""Ctrl-C at any moment: what is unfinished is removed, one line is said, the status is 130.

An exception would be raised wherever the main thread happens to be: modules that are being imported
turn it into an ImportError, callbacks of compiled code swallow it, and threads that compile crash
an interpreter that goes down. So a program blocks the signal in all of its threads but one, which
waits for it, cleans up and ends the process without unwinding anything.
"""

import contextlib
import os
import signal
import sys
import threading
import time

_SECONDS = 10  # for processes of ours to clean up after themselves

_waiting = None  # the thread
_unfinished = []  # (file or folder, folders made for it)
_changing = threading.RLock()  # held, and never given back, once the signal has come


def obey(line):
    """From here on Ctrl-C ends the process as the module says; processes it starts ignore it.

    Called from the main thread before there are others. Nothing changes where the signal is ignored
    (a background job of a shell) and where a system knows no ``sigwait``.

    Args:
      line: for standard error.
    """
    if not hasattr(signal, "sigwait") or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    except KeyboardInterrupt:  # it came a moment before
        end(signal.SIGINT, line)
    global _waiting
    _waiting = threading.Thread(target=_wait, args=(line,), daemon=True)
    _waiting.start()
    # Where a library lets the signal through again, it is handed on.
    signal.signal(signal.SIGINT, lambda *_: signal.pthread_kill(_waiting.ident, signal.SIGINT))


def shield():
    """Processes started from here on ignore Ctrl-C, if this one obeys it.

    So they did, until `multiprocessing` began to track resources, which unblocks the signal.
    """
    if _waiting is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def unfinished(path, folders=()):
    """Within: a signal removes the file or folder `path`, then `folders` that are empty."""
    entry = path, folders
    with _changing:
        _unfinished.append(entry)
    try:
        yield
    finally:
        with _changing:
            _unfinished.remove(entry)


def together():
    """Context in which files are moved to their places: a signal waits until all of them are."""
    return _changing


def stand_aside():
    """Waits for the process to end if the signal has come: nothing else is said then."""
    with _changing:
        pass


def _wait(line):
    signal.sigwait({signal.SIGINT})
    end(signal.SIGINT, line)


def end(number, line=None):
    """Removes what is unfinished and ends the process with the status of a signal of this number.

    Args:
      number: of the signal. line: for standard error; None: silence.
    """
    _changing.acquire()
    with contextlib.suppress(OSError):
        voice = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # others have lost what they worked on
    with contextlib.suppress(Exception):
        _end_processes()
    for path, folders in reversed(_unfinished):
        _remove(path)
        with contextlib.suppress(OSError):
            for folder in folders:
                os.rmdir(folder)
    if line is not None:
        with contextlib.suppress(OSError):
            # Behind a progress bar or ^C, what is said begins a line of its own.
            os.write(voice, f"{os.linesep * os.isatty(voice)}{line}\n".encode("ascii", "replace"))
    os._exit(128 + number)


def _remove(path):
    """Other threads may be writing into it: again, until it is gone."""
    for _ in range(50):
        for folder, _, files in os.walk(path, topdown=False):
            for file in files:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, file))
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        with contextlib.suppress(OSError):
            os.unlink(path)
        if not os.path.lexists(path):
            return
        time.sleep(0.02)


def _end_processes():
    """SIGTERM for those that this one has started by `multiprocessing`, and patience."""
    if "multiprocessing.process" not in sys.modules:
        return
    from multiprocessing import active_children

    children = active_children()
    for child in children:
        child.terminate()
    until = time.monotonic() + _SECONDS
    for child in children:
        child.join(max(0, until - time.monotonic()))
        child.kill()
