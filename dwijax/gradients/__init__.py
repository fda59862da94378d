"""Gradient tables, shells, sets of directions, harmonics and orientation on the sphere."""

from dwijax.gradients.directions import (
    compare,
    condition_number,
    direction_set,
    match,
)
from dwijax.gradients.shells import (
    B0_THRESHOLD,
    select_shell,
    shells,
    span,
    unshelled,
)
from dwijax.gradients.table import (
    GradientTable,
    find_b0s,
    fsl_to_array,
    fsl_to_world,
    read_bvecs,
    read_gradients,
    read_prefix,
    repeats_in_words,
    write_bvecs,
    write_gradients,
)

__all__ = [
    "B0_THRESHOLD",
    "GradientTable",
    "compare",
    "condition_number",
    "direction_set",
    "find_b0s",
    "fsl_to_array",
    "fsl_to_world",
    "match",
    "read_bvecs",
    "read_gradients",
    "read_prefix",
    "repeats_in_words",
    "select_shell",
    "shells",
    "span",
    "unshelled",
    "write_bvecs",
    "write_gradients",
]
