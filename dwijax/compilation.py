"""Compiled programs that outlast the process."""

import os
from pathlib import Path


def keep_compilations():
    """Compiled fits are kept between runs: compiling takes longer than fitting most scans."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "dwijax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
