"""Where errors are counted: the brain and its tissues, never the background."""

import numpy as np

TISSUES = ("WM", "GM", "CSF")
REGIONS = ("brain", *TISSUES, "border")
LESION = "lesion"  # where lesions are labelled

# Of the phantom's tissue map.
_CSF, _GREY, _WM = 1, (2, 3), 4

TRUTH = "the phantom's tissue map"
FROM_FIT = "the fit of all acquired (CSF: MD > 1.5, WM: FA > 0.25, GM: the rest)"


def from_tissue(tissue: np.ndarray) -> dict[str, np.ndarray]:
    """Regions of the phantom, bool ``[V]`` by name of `REGIONS`, of its tissue map ``[V]``: 1 CSF,
    2 cortical grey, 3 deep grey, 4 white matter."""
    return {"brain": np.ones(tissue.shape, bool), "WM": tissue == _WM,
            "GM": np.isin(tissue, _GREY), "CSF": tissue == _CSF}


def from_fit(fa: np.ndarray, md: np.ndarray) -> dict[str, np.ndarray]:
    """The same of FA ``[V]`` and MD ``[V]``, µm²/ms, for a scan without a segmentation; simple
    classes, that share its noise."""
    csf = md > 1.5
    wm = (fa > 0.25) & ~csf
    return {"brain": np.ones(fa.shape, bool), "WM": wm, "GM": ~csf & ~wm, "CSF": csf}


def border(regions: dict[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Voxels with a neighbour, by one of their six faces, of another tissue.

    Args:
      regions: dict of bool ``[V]`` with `TISSUES`. mask: bool ``[X, Y, Z]`` with V voxels.

    Returns:
      bool ``[V]``; what is outside the brain is no tissue.
    """
    classes = np.zeros(mask.shape, np.int8)
    classes[mask] = sum((i + 1) * regions[name] for i, name in enumerate(TISSUES))
    found = np.zeros(mask.shape, bool)
    for axis in range(3):
        here, there = (np.moveaxis(a, axis, 0) for a in (classes, found))
        differ = (here[1:] != here[:-1]) & (here[1:] > 0) & (here[:-1] > 0)
        there[1:] |= differ
        there[:-1] |= differ
    return found[mask]
