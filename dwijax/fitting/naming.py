"""File names, frames and element orders of the tools whose maps ours may stand beside.

======= ====================================== ==================== =================
naming  files                                  vectors and tensor   tensor elements
======= ====================================== ==================== =================
dwijax  ``fa.nii.gz``, ``tensor``              scanner, RAS+ mm     xx xy yy xz yz zz
mrtrix  ``fa.nii.gz``, ``adc``, ``dt``         scanner, RAS+ mm     xx yy zz xy xz yz
fsl     ``dti_FA.nii.gz``, ``dti_tensor``      FSL's image space    xx xy xz yy yz zz
bids    ``SUB_model-tensor_param-fa_dwimap``   scanner, RAS+ mm     xx xy yy xz yz zz
======= ====================================== ==================== =================

Diffusivities are in mm²/s under every naming; colours are red left-right, green
posterior-anterior, blue inferior-superior of the scanner under every naming.
"""

from pathlib import Path

from dwijax.dti.elements import DIPY_ORDER, FSL_ORDER, MRTRIX_ORDER
from dwijax.errors import InputError

NAMINGS = ("dwijax", "mrtrix", "fsl", "bids")
ORDERS = {"dwijax": DIPY_ORDER, "mrtrix": MRTRIX_ORDER, "fsl": FSL_ORDER, "bids": DIPY_ORDER}

_MRTRIX = {"tensor": "dt", "md": "adc", "s0": "b0", "fa_v1": "vector", "l1": "value"}
_FSL = {"mode": "MO", "tensor": "tensor", "sigma": "sigma", "residuals": "residuals"}


def in_world(naming):
    """Whether vectors and tensors are in the scanner's frame rather than in FSL's."""
    return naming != "fsl"


def file_names(naming, maps, dwi):
    """``{map: file name}`` under a naming.

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
        stem = bids_stem(dwi)
        return {
            name: f"{stem}_model-tensor_param-{name.replace('_', '')}_dwimap.nii.gz"
            for name in maps
        }
    return {name: f"{name}.nii.gz" for name in maps}


def summary_name(naming, dwi):
    """File name of the JSON that tells how the maps were made."""
    return f"{bids_stem(dwi)}_model-tensor_dwimap.json" if naming == "bids" else "fit.json"


def bids_stem(dwi):
    """``sub-01_ses-2`` of ``sub-01_ses-2_dwi.nii.gz``."""
    stem = Path(dwi).name.removesuffix(".gz").removesuffix(".nii")
    if not stem.startswith("sub-"):
        raise InputError(
            dwi,
            found="a name without a subject",
            expected="sub-LABEL_..._dwi.nii.gz for BIDS names",
            remedy="rename it or choose another --naming",
        )
    return stem.removesuffix("_dwi")
