"""One joint network first, from which the networks of a stack start, instead of at random.

What a network computes within, before its last layer, serves all directions alike, and one network
learns it from all of them in a fraction of the time that K take. A stack that starts from there
has left to learn only what is special to each direction.
"""

import jax
import numpy as np
from ml_collections import ConfigDict

# The trunk's folder, within the run's.
FOLDER = "trunk"


def wanted(config):
    """Whether the stack of a config starts from a joint network."""
    return bool(config.get("trunk") and config.trunk.steps)


def config_of(config):
    """The config of the joint network: that of the stack, but for its own steps, batch, optimiser,
    rate and weight decay."""
    trunk = ConfigDict(config.to_dict())
    for field in ("steps", "batch"):
        trunk[field] = config.trunk[field]
    for field in ("learning_rate", "weight_decay"):
        trunk.optimizer[field] = config.trunk[field]
    trunk.optimizer.name = config.trunk.get("optimizer", config.optimizer.name)
    trunk.model.joint, trunk.trunk.steps, trunk.mesh_directions = True, 0, 0
    if "calibrate" in trunk:
        trunk.calibrate = False  # it is not what predicts
    trunk.validate_every = trunk.steps
    trunk.checkpoint_every = max(trunk.steps // 5, 1)
    trunk.log_every = max(trunk.steps // 20, 1)
    if trunk.placement == "pmap":  # of networks, and here is one
        trunk.placement = "auto"
    return trunk


def shared_out(params, like):
    """Parameters of a joint network with K outputs as those of K networks with one output each.

    Together they predict what it does: all take what it computes within, and each its own part of
    the last layer.

    Args:
      params: leaves ``[1, ...]``. like: shapes of the stack's, ``[K, ...]``.

    Returns:
      The tree of ``like``, NumPy.
    """

    def own(leaf, like):
        leaf, networks = np.asarray(leaf)[0], like.shape[0]
        if leaf.shape == like.shape[1:]:
            return np.broadcast_to(leaf, like.shape)
        outputs, = np.nonzero(np.not_equal(leaf.shape, like.shape[1:]))[0]
        return np.stack(np.split(leaf, networks, axis=outputs))

    return jax.tree.map(own, params, like)
