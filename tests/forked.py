"""``train.py`` and other scripts in processes of their own, forked after their slow imports.

What a process needs to start is then a tenth of a second: most of what short runs of them would
take. ``JAX_*`` are as they were when the first was started.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 600  # that a script may take
# Of XLA: programs that run for milliseconds are not worth a minute of LLVM, nor the newer emitters,
# which take three times as long to compile; nor is it worth cutting them into parts for as many
# threads, which takes a twentieth of the compiler's time.
QUICK = ("--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
         "--xla_cpu_parallel_codegen_split_count=1")

SERVER = """
import json, os, runpy, signal, sys, tempfile
import dwijax.evaluation.run, dwijax.training.loop, dwijax.training.calibrating
import dwijax.evaluation.common.figures, sklearn.linear_model
def become(words, job):
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    for descriptor, path in enumerate([os.devnull, *job["streams"]]):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), descriptor)
    signal.alarm(job["seconds"])
    tempfile.tempdir = None  # where TMPDIR says now
    sys.argv[:] = words
    sys.path[0] = os.path.dirname(words[0])
    runpy.run_path(words[0], run_name="__main__")
for line in iter(sys.stdin.readline, ""):
    job, children = json.loads(line), []
    for words in job["jobs"]:
        children.append(os.fork())
        if not children[-1]:
            become(words, job)
            sys.exit()
    print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
"""


class Scripts:
    """One server that forks, of which a session has one."""

    def __init__(self):
        self.server = None

    def __call__(self, *words, cwd, env=os.environ):
        """Runs a script, the first of the words; `subprocess.CompletedProcess`."""
        return self.together([words], cwd, env)

    def together(self, jobs, cwd, env=os.environ):
        """Runs several at once, as processes that work together; the greatest status of them."""
        if self.server is None:
            self.server = subprocess.Popen([sys.executable, "-c", SERVER], text=True, cwd=ROOT,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with tempfile.TemporaryDirectory() as folder:
            streams = [Path(folder) / name for name in ("stdout", "stderr")]
            for stream in streams:
                stream.touch()
            jobs = [[str(ROOT / words[0]), *map(str, words[1:])] for words in jobs]
            job = {"jobs": jobs, "cwd": str(cwd), "env": dict(env), "seconds": SECONDS,
                   "streams": list(map(str, streams))}
            print(json.dumps(job), file=self.server.stdin, flush=True)
            statuses = [int(status) for status in self.server.stdout.readline().split()]
            return subprocess.CompletedProcess(
                jobs, max(statuses, key=abs), *(stream.read_text() for stream in streams))

    def close(self):
        if self.server is not None:
            self.server.communicate()
