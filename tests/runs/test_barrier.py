"""What several processes need is made by the first; the others wait for it."""

import socket
import subprocess
import sys

CODE = """
import sys, time
import jax
from pathlib import Path
from dwijax.runs.barrier import first_makes

index, address, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
jax.distributed.initialize(address, 2, index)

def make():
    if index == 0:
        time.sleep(1)
        path.write_text("made")
    return path.read_text() + f" for {index}"

print(first_makes(make))
"""


def test_others_wait_for_the_first_process(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [subprocess.Popen([sys.executable, "-c", CODE, str(i), address, tmp_path / "x"],
                                  stdout=subprocess.PIPE, text=True) for i in (0, 1)]
    try:
        assert [p.communicate(timeout=120)[0].strip() for p in processes] == [
            "made for 0", "made for 1"]
    finally:
        for process in processes:
            process.kill()
