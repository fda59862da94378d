"""File names, frames and element orders of the tools whose maps ours may stand beside.

======= ====================================== ==================== =================
naming  files                                  vectors and tensor   tensor elements
======= ====================================== ==================== =================
dwijax  ``fa.nii.gz``, ``tensor``              scanner, RAS+ mm     xx xy yy xz yz zz
mrtrix  ``fa.nii.gz``, ``adc``, ``dt``         scanner, RAS+ mm     xx yy zz xy xz yz
fsl     ``dti_FA.nii.gz``, ``dti_tensor``      FSL's image space    xx xy xz yy yz zz
bids    `dwijax.fitting.bids`                  scanner, RAS+ mm     xx xy xz yy yz zz
======= ====================================== ==================== =================

Diffusivities are in mm²/s under every naming; colours are red left-right, green
posterior-anterior, blue inferior-superior of the scanner under every naming.
"""

from collections.abc import Sequence
from pathlib import Path

from dwijax.dti.elements import DIPY_ORDER, FSL_ORDER, MRTRIX_ORDER
from dwijax.fitting import bids

NAMINGS = ("dwijax", "mrtrix", "fsl", "bids")
ORDERS = {"dwijax": DIPY_ORDER, "mrtrix": MRTRIX_ORDER, "fsl": FSL_ORDER, "bids": FSL_ORDER}

_MRTRIX = {"tensor": "dt", "md": "adc", "s0": "b0", "fa_v1": "vector", "l1": "value"}
_FSL = {"mode": "MO", "tensor": "tensor", "sigma": "sigma", "residuals": "residuals"}


def in_world(naming: str) -> bool:
    """Whether vectors and tensors are in the scanner's frame rather than in FSL's."""
    return naming != "fsl"


def file_names(naming: str, maps: Sequence[str], dwi: Path) -> dict[str, str]:
    """``{map: file name}`` under a naming, relative to the output's folder.

    Args:
      naming: one of `NAMINGS`.
      maps: names of maps.
      dwi: path of the scan, which names BIDS derivatives.

    Raises:
      InputError: BIDS names are wanted and the scan has none.
    """
    if naming == "mrtrix":
        return {name: f"{_MRTRIX.get(name, name)}.nii.gz" for name in maps}
    if naming == "fsl":
        return {name: f"dti_{_FSL.get(name, name.upper())}.nii.gz" for name in maps}
    if naming == "bids":
        return {name: bids.map_name(dwi, name) for name in maps}
    return {name: f"{name}.nii.gz" for name in maps}


def text_files(naming: str, maps: Sequence[str], dwi: Path, summary: dict) -> dict[str, dict]:
    """``{file name: content}`` of the JSON files beside the maps.

    Args:
      naming, maps, dwi: as in `file_names`.
      summary: dict that tells how the maps were made; stored under every naming.
    """
    if naming == "bids":
        return {bids.DESCRIPTION: bids.description(),
                bids.sidecar_name(dwi): bids.sidecar(maps, summary)}
    return {"fit.json": summary}


def series_files(naming: str, dwi: Path) -> dict[str, str]:
    """Files of a series with synthetic volumes, relative to the output's folder.

    Returns:
      dict: ``dwi``, ``bval``, ``bvec``, ``json`` and ``page``.

    Raises:
      InputError: BIDS names are wanted and the scan has none.
    """
    if naming == "bids":
        return bids.series_names(dwi) | {"page": bids.page_name(dwi, bids.SYNTHESISED)}
    return {"dwi": "dwi.nii.gz", "bval": "dwi.bval", "bvec": "dwi.bvec", "json": "dwi.json",
            "page": "report.html"}
