"""One joint network first, from which the networks of a stack start, instead of at random.

What a network computes within, before its last layer, serves all directions alike, and one network
learns it from all of them in a fraction of the time that K take. A stack that starts from there
has left to learn only what is special to each direction.
"""

import jax
import numpy as np

# The trunk's folder, within the run's.
FOLDER = "trunk"


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
