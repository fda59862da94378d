"""Maps of a subject's voxels by the networks of a SuperDTI run."""

from typing import NamedTuple

import numpy as np

from dwijax.data.subject import Subject
from dwijax.fitting.voxels import principal_directions
from dwijax.inference import Run, outputs
from dwijax.tasks.map_regression import from_orientation, target_of

DIRECT, DYADIC, TENSOR = "networks", "dyadic network", "tensor network"


class NetworkMaps(NamedTuple):
    """Maps of V voxels, float32; None where no network was trained for them.

    Attributes:
      fa: ``[V]``, 0 to 1. md: ``[V]``, µm²/ms.
      v1: ``[V, 3]``, unit, along the axes of the array; its sign has no meaning.
      signed: ``[V, 3]``, the same by a network that learned the sign too.
      tensor: ``[V, 6]``, µm²/ms.
      fa_std: ``[V]``, SD over the networks that differ by their seed alone.
      determined: bool ``[V]``, of a fit: elsewhere it says nothing.
    """

    fa: np.ndarray | None = None
    md: np.ndarray | None = None
    v1: np.ndarray | None = None
    signed: np.ndarray | None = None
    tensor: np.ndarray | None = None
    fa_std: np.ndarray | None = None
    determined: np.ndarray | None = None


def network_maps(run: Run, subject: Subject, directions: np.ndarray | None = None, *,
                 quiet: bool = True) -> dict[str, NetworkMaps]:
    """``{method: NetworkMaps}`` of a subject: by networks of one map each (``DIRECT``; V1 is that
    of FA v vᵀ, whose FA is ``DYADIC``), and all by a tensor (``TENSOR``).

    Networks that differ by their seed are averaged.

    Args:
      run, subject, directions, quiet: as `dwijax.inference.outputs`.
    """
    predictions = outputs(run, subject, directions, quiet=quiet)[:, subject.mask]
    by_target = {}
    for number, values in zip(run.task.numbers, predictions, strict=True):
        by_target.setdefault(target_of(number), []).append(values)
    return from_outputs({target: np.stack(values) for target, values in by_target.items()})


def from_outputs(by_target: dict[str, np.ndarray]) -> dict[str, NetworkMaps]:
    """The same from predictions ``[seeds, V, D]`` by target."""
    mean = {target: values.mean(axis=0) for target, values in by_target.items()}
    methods, direct = {}, {}
    if "fa" in mean:
        direct["fa"] = np.clip(mean["fa"][:, 0], 0, 1)
        direct["fa_std"] = _spread(by_target["fa"][..., 0])
    if "md" in mean:
        direct["md"] = mean["md"][:, 0]
    if "dyadic" in mean:
        dyadic = mean["dyadic"][:, :6]
        direct["v1"] = principal_directions(dyadic)
        # The trace of v vᵀ is 1.
        methods[DYADIC] = NetworkMaps(fa=np.clip(dyadic[:, [0, 2, 5]].sum(axis=1), 0, 1))
    if "signed" in mean:
        direct["signed"] = _unit(mean["signed"][:, :3])
        direct.setdefault("v1", direct["signed"])
    if direct:
        methods[DIRECT] = NetworkMaps(**direct)
    if "tensor" in mean:
        fa, md, oriented = np.split(mean["tensor"], [1, 2], axis=-1)
        methods[TENSOR] = NetworkMaps(
            fa=np.clip(fa[:, 0], 0, 1), md=md[:, 0],
            v1=principal_directions(np.ascontiguousarray(oriented)),
            tensor=from_orientation(md[:, 0], oriented).astype(np.float32),
            fa_std=_spread(by_target["tensor"][..., 0]))
    return methods


def _spread(values):
    """SD over the seeds ``[seeds, V]``; None of one."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else None


def _unit(vectors):
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
