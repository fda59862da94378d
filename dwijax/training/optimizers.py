"""Optimisers by name. Each network of the stack has its own state (the step vmaps them)."""

import optax


def inverse_time(learning_rate, decay):
    """``learning_rate / (1 + decay · step)``: the ``decay`` argument of Keras' SGD.

    He et al. state SGD with a rate and a decay of 0.001 each.
    """
    return lambda step: learning_rate / (1 + decay * step)


def build(name, *, learning_rate, steps, decay=0.0, momentum=0.0, warmup=0.05,
          weight_decay=1e-4, clip=0.0):
    """One network's optimiser.

    Args:
      name: ``sgd`` (with :func:`inverse_time` decay) or ``adamw`` (linear warm-up, cosine to 0).
      learning_rate: peak rate.
      steps: total steps of the cosine.
      decay: of ``sgd``. momentum: of ``sgd``, Nesterov where > 0.
      warmup: share of the steps spent warming up, of ``adamw``.
      weight_decay: decoupled, of ``adamw``.
      clip: largest global norm of one network's gradient; 0 leaves gradients alone.

    Returns:
      ``optax.GradientTransformation``.
    """
    if name == "sgd":
        optimizer = optax.sgd(inverse_time(learning_rate, decay), momentum or None, bool(momentum))
    elif name == "adamw":
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, learning_rate, max(int(warmup * steps), 1), max(steps, 2))
        optimizer = optax.adamw(schedule, b2=0.99, weight_decay=weight_decay)
    else:
        raise ValueError(f"unknown optimiser {name!r}; known: sgd, adamw")
    return optax.chain(optax.clip_by_global_norm(clip), optimizer) if clip else optimizer
