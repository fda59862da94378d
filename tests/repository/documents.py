"""What README.md, CONTRIBUTING.md and docs/ tell people to type."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
# Without the tables that benchmarks/render.py writes: test_docs_results.py looks at their commands.
PROSE = {name: re.sub(r"(<!-- results: .*? -->).*?(?=<!-- end -->)", r"\1", text, flags=re.S)
         for name, text in TEXTS.items()}


def lines_of(text):
    """Command lines of the fenced ``sh`` blocks of a text, without their comments."""
    return [line.split("  #")[0].strip()
            for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
            for line in block.splitlines() if line.strip()]


LINES = {name: lines_of(text) for name, text in PROSE.items()}
ALL = list(dict.fromkeys(line for lines in LINES.values() for line in lines))


def words_of(line):
    return shlex.split(line.removeprefix("srun "))


def kind(line):
    """The sub-command or script of a line, its program, or that ``.ci/run`` runs it as it is."""
    words = words_of(line)
    if words[0] == "python":
        return words[1]
    return "fresh environment" if words[0] == "python3" else words[0]


def inline(pattern):
    """What stands between backticks and matches, of all documents, each once."""
    return list(dict.fromkeys(found for text in PROSE.values()
                              for found in re.findall(rf"`({pattern})`", text)))


PARSE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from absl import flags
from dwijax import config as settings
for words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        sys.argv = words  # where ml_collections looks for overrides, at its import too
        try:
            import {script} as script
            rest = flags.FLAGS(words)
            if "{script}" == "train":
                assert len(rest) == 1, rest
                settings.check(script.CONFIG.value)
        except BaseException as error:  # flags leave by SystemExit
            print(words, type(error).__name__, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def refused(script, lines):
    """What a script's flags, and checks of its config, have against lines; each in a process of
    its own, forked after the slow imports."""
    code = [sys.executable, "-c", PARSE.format(script=script), json.dumps(lines)]
    done = subprocess.run(code, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.splitlines()
