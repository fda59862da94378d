"""Networks that start from those of a run trained before, instead of at random.

What a joint network computes within, for all directions at once, serves each of them: a stack that
starts from there has left to learn only what is special to a direction.
"""

import jax
import numpy as np

from dwijax.errors import InputError
from dwijax.training import lineage, run

# Fields of a model in which the two may differ: shapes are compared by themselves.
_FREE = {"joint", "start", "zero_output", "dtype"}


def begin(place, config, members, gtab, network, keys):
    """Parameters of a run, as those that K networks start from.

    Each takes its own network of a stack of as many. One joint network becomes K: each takes what
    it computes within, and of its K outputs its own, so that together they predict what it does.

    Args:
      place: folder of the run.
      config: of the run that starts. members: its `dwijax.data.cohort.Cohort`.
      gtab: table of its shell. network: one of its networks. keys: ``[K]``.

    Returns:
      ``(params, whitening, whitening_from)``: leaves ``[K, ...]``, NumPy; the statistics of its
      inputs, which its networks go on needing, and what they were computed from.

    Raises:
      InputError: as :func:`dwijax.training.lineage.restore`, or networks of another model.
    """
    theirs, _, _, _, params, about = lineage.restore("start", place, config, members, gtab)
    like = jax.eval_shape(jax.vmap(network.init), keys)

    def expect(same, found):
        if not same:
            raise InputError("--config.model.start", found=f"{place}: {found}",
                             expected="one joint network, or as many as here, of the same model",
                             remedy="train one with the same model options")

    for field in sorted(set(config.model) - _FREE):
        there, here = (c.model.get(field) for c in (theirs, config))
        expect(there in (here, None), f"model.{field} {there}, not {here}")
    expect(theirs.data.b0 == config.data.b0, f"data.b0 {theirs.data.b0}")
    expect(jax.tree.structure(like) == jax.tree.structure(params), "networks of other layers")

    def own(theirs, like):
        theirs = np.asarray(theirs)
        if theirs.shape == like.shape:
            return theirs
        if theirs.shape == (1, *like.shape[1:]):
            return np.repeat(theirs, len(keys), axis=0)
        expect(theirs.shape == (1, *like.shape[1:-1], len(keys)),
               f"networks of other shapes ({theirs.shape}, not {like.shape})")
        return np.moveaxis(theirs[0], -1, 0)[..., None]  # the last layer

    return (jax.tree.map(own, params, like), run.parse(about, place)[2],
            about["normalisation"]["whitening_from"])
