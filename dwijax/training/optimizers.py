"""Optimisers by name. Each network of the stack has its own state (the step vmaps them)."""

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon


def inverse_time(learning_rate, decay):
    """``learning_rate / (1 + decay · step)``: the ``decay`` argument of Keras' SGD.

    He et al. state SGD with a rate and a decay of 0.001 each.
    """
    return lambda step: learning_rate / (1 + decay * step)


def build(name, *, learning_rate, steps, decay=0.0, momentum=0.0, warmup=0.05,
          weight_decay=1e-4, clip=0.0):
    """One network's optimiser.

    Args:
      name: ``sgd`` (with :func:`inverse_time` decay), ``adamw`` or ``muon`` (both: linear warm-up,
        cosine to 0). Muon (Jordan et al. 2024; optax 0.2.8) makes the momentum of every kernel,
        as a matrix of ``[kh·kw·C, D]``, orthogonal; kernels of one output and biases take Adam.
      learning_rate: peak rate.
      steps: total steps of the cosine.
      decay: of ``sgd``. momentum: of ``sgd``, Nesterov where > 0.
      warmup: share of the steps spent warming up, of ``adamw`` and ``muon``.
      weight_decay: decoupled, of ``adamw`` and ``muon``.
      clip: largest global norm of one network's gradient; 0 leaves gradients alone.

    Returns:
      ``optax.GradientTransformation``.
    """
    if name == "sgd":
        optimizer = optax.sgd(inverse_time(learning_rate, decay), momentum or None, bool(momentum))
    elif name in ("adamw", "muon"):
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, learning_rate, max(int(warmup * steps), 1), max(steps, 2))
        if name == "adamw":
            optimizer = optax.adamw(schedule, b2=0.99, weight_decay=weight_decay)
        else:  # steps as long as Adam's are (Liu et al. 2025, eq. 4), so that rates compare
            optimizer = muon(schedule, adam_b2=0.99, weight_decay=weight_decay,
                             consistent_rms=0.2, muon_weight_dimension_numbers=_kernels)
    else:
        raise ValueError(f"unknown optimiser {name!r}; known: sgd, adamw, muon")
    return optax.chain(optax.clip_by_global_norm(clip), optimizer) if clip else optimizer


def _kernels(params):
    """Which parameters are matrices, and how."""
    def numbers(p):
        matrix = p.ndim == 4 and p.shape[3] > 1
        return MuonDimensionNumbers((0, 1, 2), 3) if matrix else None

    return jax.tree.map(numbers, params)
