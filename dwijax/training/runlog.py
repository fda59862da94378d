"""The log of a run: ``metrics.jsonl`` (one object a line) and TensorBoard files."""

import json
from pathlib import Path


class RunLog:
    """Appends metrics; after a restart it first drops what lies past the restored step.

    Args:
      folder: of the run. step: int, the step restored (0 for a new run).
    """

    def __init__(self, folder, step):
        from tensorboardX import SummaryWriter

        path = Path(folder) / "metrics.jsonl"
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= step]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(line + "\n" for line in kept))
        temporary.replace(path)
        self._lines = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(Path(folder) / "tensorboard"), purge_step=step or None)

    def write(self, step, scalars, per_network=None):
        """Writes one line.

        Args:
          step: int. scalars: name to float. per_network: name to ``[K]`` floats.
        """
        per_network = {k: [float(v) for v in vs] for k, vs in (per_network or {}).items()}
        self._lines.write(json.dumps({"step": step, **scalars, **per_network}) + "\n")
        self._lines.flush()
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)
        for name, values in per_network.items():
            for k, value in enumerate(values):
                self._board.add_scalar(f"{name}/network_{k:02d}", value, step)

    def close(self):
        self._lines.close()
        self._board.close()


def _whole_lines(path):
    """Lines that end in a newline: a killed process may have left half of one."""
    if not path.exists():
        return []
    return [line[:-1] for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
            if line.endswith("\n")]
