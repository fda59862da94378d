"""Optimisers by name. Each network of the stack has its own state (the step vmaps them)."""

import jax
import optax
from optax import contrib

NAMES = ("adamw", "muon", "sgd")


def inverse_time(learning_rate, decay):
    """``learning_rate / (1 + decay · step)``: the ``decay`` argument of Keras' SGD.

    He et al. state SGD with a rate and a decay of 0.001 each.
    """
    return lambda step: learning_rate / (1 + decay * step)


def kernels(params):
    """Leaves that Muon takes, and as which matrix: kernels ``[h, w, I, O]`` as ``[h·w·I, O]``."""
    matrix = contrib.MuonDimensionNumbers((0, 1, 2), 3)
    return jax.tree.map(lambda leaf: matrix if leaf.ndim == 4 else None, params)


def build(name, *, learning_rate, steps, decay=0.0, warmup=0.05,
          weight_decay=1e-4, clip=0.0):
    """One network's optimiser.

    Args:
      name: ``sgd`` (with :func:`inverse_time` decay), ``adamw`` or ``muon`` (both with linear
        warm-up and cosine to 0). Muon (Jordan et al. 2024, as in optax 0.2.8) makes the steps of
        kernels orthogonal; biases have AdamW.
      learning_rate: peak rate.
      steps: total steps of the cosine.
      decay: of ``sgd``.
      warmup: share of the steps spent warming up, of ``adamw`` and ``muon``.
      weight_decay: decoupled, of ``adamw`` and ``muon``.
      clip: largest global norm of one network's gradient; 0 leaves gradients alone.

    Returns:
      ``optax.GradientTransformation``.
    """
    if name == "sgd":
        optimizer = optax.sgd(inverse_time(learning_rate, decay))
    elif name in ("adamw", "muon"):
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, learning_rate, max(int(warmup * steps), 1), max(steps, 2))
        optimizer = optax.adamw(schedule, b2=0.99, weight_decay=weight_decay)
        if name == "muon":
            optimizer = contrib.muon(
                schedule, adam_b2=0.99, weight_decay=weight_decay, adam_weight_decay=weight_decay,
                muon_weight_dimension_numbers=kernels)
    else:
        raise ValueError(f"unknown optimiser {name!r}; known: {', '.join(NAMES)}")
    return optax.chain(optax.clip_by_global_norm(clip), optimizer) if clip else optimizer
