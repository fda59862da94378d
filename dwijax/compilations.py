"""Compiled programs are kept between commands: compiling takes longer than most scans."""

import os
from pathlib import Path


def keep_compilations():
    """Keeps what this process compiles, in the user's cache, unless JAX was told where already."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "dwijax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
