"""The log of a run: ``metrics.jsonl`` (one object a line) and TensorBoard files."""

import contextlib
import json
import math
import os
import time
from pathlib import Path

from dwijax.errors import warn
from dwijax.output import whole


class RunLog:
    """Appends metrics; after a restart it first drops what lies past the restored step.

    A log that cannot be written (a full disk) does not end a run: it says so once, keeps the lines
    in memory and writes them as soon as it can.

    Args:
      folder: of the run. step: int, the step restored (0 for a new run).
      say: takes one line of text.

    Raises:
      InputError: ``metrics.jsonl`` cannot be written at all.
    """

    def __init__(self, folder, step, say=warn):
        self._path, self._say = Path(folder) / "metrics.jsonl", say
        kept = [line for line in _whole_lines(self._path) if _step_of(line) <= step]
        with whole(self._path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._waiting = b""
        self._told = False
        self._board = self._start_board(Path(folder) / "tensorboard", step)

    def write(self, step, scalars, per_network=None):
        """Writes one line.

        Args:
          step: int. scalars: name to float. per_network: name to ``[K]`` floats; those that are
            no numbers become null.
        """
        per_network = {k: [float(v) if math.isfinite(v) else None for v in vs]
                       for k, vs in (per_network or {}).items()}
        line = json.dumps({"step": step, **scalars, **per_network})
        self._waiting += line.encode() + b"\n"
        self._append()
        self._show(step, scalars | {f"{name}/network_{k:02d}": value
                                    for name, values in per_network.items()
                                    for k, value in enumerate(values) if value is not None})

    def close(self):
        self._append()
        if self._board is not None:
            self._board.close()

    def _append(self):
        try:
            with self._path.open("ab", buffering=0) as file:
                while self._waiting:  # a disk that fills up takes a part of a line
                    self._waiting = self._waiting[file.write(self._waiting):]
        except OSError as error:
            self._tell(f"{self._path}: cannot be written ({error.strerror}); "
                       "lines are kept in memory until it can")

    def _start_board(self, folder, step):
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # Straight to the file: SummaryWriter's thread dies of a full disk, and the run then waits
        # for it for ever.
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            board = RecordWriter(str(folder / name))
            for event in (Event(wall_time=time.time(), file_version="brain.Event:2"),
                          # TensorBoard hides what earlier files have from this step on.
                          Event(wall_time=time.time(), step=step + 1,
                                session_log=SessionLog(status=SessionLog.START))):
                board.write(event.SerializeToString())
            board.flush()
            return board
        except OSError as error:
            self._tell(f"{folder}: cannot be written ({error.strerror}); no TensorBoard files")
            return None

    def _show(self, step, scalars):
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        if self._board is None:
            return
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        try:
            self._board.write(event.SerializeToString())
            self._board.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it tries to write what it still holds
                self._board.close()
            self._board = None
            self._tell(f"{self._path.parent / 'tensorboard'}: cannot be written "
                       f"({error.strerror}); TensorBoard files end here")

    def _tell(self, text):
        if not self._told:
            self._say(text)
        self._told = True


def read(folder):
    """Lines of a run's log, dicts with their ``step``; those that are damaged are passed over."""
    return [json.loads(line) for line in _whole_lines(Path(folder) / "metrics.jsonl")
            if _step_of(line) < math.inf]


def skipped(folder):
    """Updates that each network of a run was left out of: ``(all, in a row at the end)``, ``[K]``.

    None where there were none.
    """
    found = [line for line in read(folder) if "skipped" in line]
    return (found[-1]["skipped"], found[-1]["skipped_in_a_row"]) if found else None


def _whole_lines(path):
    """Lines that end in a newline: a killed process may have left half of one."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return [line[:-1] for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _step_of(line):
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        step = None
    return step if type(step) is int else math.inf  # damaged: dropped
