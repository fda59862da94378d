"""What compiling takes from its surroundings: XLA's flags, and compiled programs of other runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

from dwijax.errors import InputError


def check_flags():
    """Refuses ``XLA_FLAGS`` that XLA does not know: it would abort the process later.

    Another process tries them, where they are set and JAX has not been imported yet.

    Raises:
      InputError: says which flag or value.
    """
    given = os.environ.get("XLA_FLAGS", "").strip()
    if not given or "jax" in sys.modules:
        return
    tried = subprocess.run(
        [sys.executable, "-c", "from jaxlib import _jax; _jax.CompileOptions()"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    # XLA's own lines begin with a letter and the date: "F1130 22:55:25 1234 file.cc:5] Unknown ..."
    said = re.search(rb"^[EF]\d{4} .*?\] (.*)", tried.stderr, re.MULTILINE)
    if tried.returncode and said:
        raise InputError("XLA_FLAGS", found=said[1].decode(errors="replace")[:300],
                         expected="flags that this XLA knows",
                         remedy="correct or unset this environment variable")


def keep_compilations():
    """Compiled fits are kept between runs: compiling takes longer than fitting most scans.

    They are where ``JAX_COMPILATION_CACHE_DIR`` or ``XDG_CACHE_HOME`` say, otherwise in
    ``~/.cache``; nowhere, where there is no such place to write to (no home, a read-only one).
    """
    import jax

    if (given := jax.config.jax_compilation_cache_dir) is not None:
        if "://" not in given and not _writable(Path(given)):
            jax.config.update("jax_compilation_cache_dir", None)
        return
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dwijax"
    except RuntimeError:  # a user without a home, as in a container
        return
    if _writable(cache):
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _writable(folder):
    """Whether files can be written into a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
