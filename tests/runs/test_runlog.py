"""metrics.jsonl and TensorBoard files of a run that was interrupted, or whose disk is full."""

import json
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from dwijax.runs import log
from dwijax.runs.log import RunLog


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """Per file, oldest first: its events, read as the TFRecord format says."""
    for path in sorted((folder / "tensorboard").iterdir()):
        data, found = path.read_bytes(), []
        while data:
            size = struct.unpack("<Q", data[:8])[0]
            found.append(Event.FromString(data[12:12 + size]))
            data = data[16 + size:]
        yield found


def test_no_gaps_or_duplicates_after_a_restart(tmp_path):
    log = RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write(step, {"loss": 1.0 / step}, {"loss_per_network": [0.1, 0.2]})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('\0\0\n{"step": 4, "lo')  # killed while writing
    log = RunLog(tmp_path, 2)
    log.write(3, {"loss": 0.5})
    log.close()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert lines(tmp_path)[-1]["loss"] == 0.5
    first, second = events(tmp_path)
    assert [e.step for e in first if e.HasField("summary")] == [1, 2, 3]
    assert {v.tag for v in first[-1].summary.value} == {
        "loss", "loss_per_network/network_00", "loss_per_network/network_01"}
    # What TensorBoard reads as: hide all from step 3 on that came before.
    assert second[1].session_log.status == SessionLog.START and second[1].step == 3
    assert second[-1].step == 3 and second[-1].summary.value[0].simple_value == 0.5


def test_full_disk(tmp_path, monkeypatch):
    """One line is said, none is lost."""
    said = []
    log = RunLog(tmp_path, 0, said.append)
    log.write(1, {"loss": 1.0})
    real, opened = Path.open, []

    class Full:
        def __init__(self, file):
            self.file, self.room = file, 7

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            if not self.room:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[:self.room])
            self.room -= written
            return written

    def full(path, *mode, **options):
        opened.append(path)
        return Full(real(path, *mode, **options))

    monkeypatch.setattr(Path, "open", full)
    log.write(2, {"loss": 2.0})
    log.write(3, {"loss": 3.0})
    monkeypatch.undo()
    assert len(opened) == 2
    log.write(4, {"loss": 4.0})
    log.close()
    assert [line["loss"] for line in lines(tmp_path)] == [1.0, 2.0, 3.0, 4.0]
    line, = said
    assert "No space left" in line and "metrics.jsonl" in line


@pytest.mark.parametrize("broken", ["write", "flush"])
def test_tensorboard_ends_where_its_disk_is_full(tmp_path, broken):
    said = []
    log = RunLog(tmp_path, 0, said.append)

    def full(*_):
        raise OSError(28, "No space left on device")

    setattr(log._board, broken, full)
    for step in range(1, 40):
        log.write(step, {"loss": 1.0})
    log.close()
    assert len(lines(tmp_path)) == 39
    assert len(said) == 1 and "tensorboard" in said[0]


def test_lines_that_are_no_lines_of_a_log_are_passed_over(tmp_path):
    text = '3\n[]\n"step"\n{"step": null}\n{"step": "x"}\n{"step": NaN}\n{"loss": 1}\n\n'
    (tmp_path / "metrics.jsonl").write_bytes(
        text.encode() + b"\xff\xfe\n" + b"[" * 10**5 + b'\n{"step": 7, "loss": 0.5}\n{"step": 8')
    assert log.read(tmp_path) == [{"step": 7, "loss": 0.5}]
    assert log.skipped(tmp_path) is None and log.read(tmp_path / "none") == []
