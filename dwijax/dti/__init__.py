"""Diffusion tensors: design, fit, prediction, maps. Pure `jax.numpy`, differentiable."""

from dwijax.dti.design import (
    check_design,
    condition_number,
    design_matrix,
    design_with_b0,
    evenly_spread,
)
from dwijax.dti.deviation import correct_gradients, correct_tensor, inverse_map
from dwijax.dti.eigen import eigen
from dwijax.dti.fit import METHODS, TensorFit, fit_tensor, predict_signal
from dwijax.dti.maps import (
    axial_diffusivity,
    clip_eigenvalues,
    color_fa,
    fractional_anisotropy,
    linearity,
    mean_diffusivity,
    mode,
    norm,
    planarity,
    principal_direction,
    radial_diffusivity,
    sphericity,
)
from dwijax.dti.statistics import (
    FitStatistics,
    fit_statistics,
    rotate_covariance,
    standard_error,
)

__all__ = [
    "METHODS",
    "FitStatistics",
    "TensorFit",
    "axial_diffusivity",
    "check_design",
    "clip_eigenvalues",
    "color_fa",
    "condition_number",
    "correct_gradients",
    "correct_tensor",
    "design_matrix",
    "design_with_b0",
    "eigen",
    "evenly_spread",
    "fit_statistics",
    "fit_tensor",
    "fractional_anisotropy",
    "inverse_map",
    "linearity",
    "mean_diffusivity",
    "mode",
    "norm",
    "planarity",
    "predict_signal",
    "principal_direction",
    "radial_diffusivity",
    "rotate_covariance",
    "sphericity",
    "standard_error",
]
