"""BIDS derivatives: names and sidecars of tensor maps and of longer series.

The dataset is the output's folder: ``dataset_description.json`` and below it
``sub-01[/ses-2]/dwi/sub-01[_ses-2...]_model-tensor_param-fa_dwimap.nii.gz`` with one
``..._model-tensor_dwimap.json`` for all maps of a scan, as the draft for diffusion derivatives has
it (BIDS extension proposal 16; names, fields and the order of tensor elements). What holds
synthetic volumes says so: ``desc-synthesised`` in names of series and of maps fitted to them,
``desc-networks`` in names of maps that networks made.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from dwijax import __version__
from dwijax.errors import InputError

DESCRIPTION = "dataset_description.json"
BIDS_VERSION = "1.10.0"
SYNTHESISED, NETWORKS = "synthesised", "networks"

_ENTITIES = re.compile(r"sub-[0-9A-Za-z]+(_[a-z]+-[0-9A-Za-z+]+)*")
_PARAMS = {"s0": "bzero", "v1": "evec1", "v2": "evec2", "v3": "evec3"}
_MM2_PER_S = ("md", "ad", "rd", "l1", "l2", "l3", "norm", "tensor", "md_se")
_SIGNAL = ("s0", "sigma", "rmse", "residuals")
_REPRESENTATION = {
    "tensor": "param", "color_fa": "dec", "fa_v1": "3vector",
    "v1": "unit3vector", "v2": "unit3vector", "v3": "unit3vector",
}  # fmt: skip


def map_name(dwi: Path, name: str, desc: str | None = None) -> str:
    """File of a map, relative to the dataset; ``desc``: of a scan that is not called so itself."""
    param = _PARAMS.get(name, name.replace("_", ""))
    return f"{_stem(dwi)}_model-tensor_param-{param}{_desc(dwi, desc)}_dwimap.nii.gz"


def sidecar_name(dwi: Path, desc: str | None = None) -> str:
    """File of the JSON of all maps of a scan, relative to the dataset."""
    return f"{_stem(dwi)}_model-tensor{_desc(dwi, desc)}_dwimap.json"


def series_names(dwi: Path) -> dict[str, str]:
    """Files of a series with synthetic volumes behind the measured ones.

    Returns:
      dict: ``dwi``, ``bval``, ``bvec``, ``json``: paths relative to the dataset.
    """
    stem = f"{_stem(dwi)}_desc-{SYNTHESISED}_dwi"
    endings = {"dwi": ".nii.gz", "bval": ".bval", "bvec": ".bvec", "json": ".json"}
    return {kind: stem + ending for kind, ending in endings.items()}


def series_fields(dwi: Path, about: dict) -> dict:
    """Content of the JSON of a series; ``about``, whose names may be those of BIDS entities, is an
    entry of its own but for the volumes that are synthetic."""
    return {"Description": "Measured volumes, unchanged, and synthetic ones behind them",
            "Sources": [Path(dwi).name], "SkullStripped": False,
            "synthetic_volumes": about["synthetic_volumes"], "dwijax": about}


def page_name(dwi: Path, desc: str) -> str:
    """File of the page to look at, beside the subject's folder."""
    return f"{Path(_stem(dwi)).name}_desc-{desc}.html"


def description() -> dict:
    """Content of ``dataset_description.json``."""
    return {
        "Name": "dwijax",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "dwijax", "Version": __version__}],
    }


def sidecar(maps: Sequence[str], summary: dict) -> dict:
    """Content of the JSON of all maps.

    Args:
      maps: their names.
      summary: dict of how they were made, with the ``options`` of the fit.
    """
    method = summary["options"].get("method", "wls")
    parameters = {"FitMethod": "iwls" if method == "robust" else method,
                  "OutlierRejection": method == "robust"}
    return {"ModelDescription": "Diffusion tensor", "Parameters": parameters, **_fields(maps),
            "dwijax": summary}


def network_sidecar(maps: Sequence[str], about: dict) -> dict:
    """Content of the JSON of maps that networks made; ``about``: dict of how."""
    return {"ModelDescription": "Diffusion tensor, estimated by neural networks",
            "Parameters": {"FitMethod": "networks"}, **_fields(maps), "dwijax": about}


def _fields(maps):
    fields = {}
    for name in maps:
        unit = "mm2/s" if name in _MM2_PER_S else "arbitrary" if name in _SIGNAL else None
        if name == "covariance":
            unit = "mm4/s2"
        field = {"Units": unit} if unit else {}
        if name in _REPRESENTATION:
            field |= {"OrientationRepresentation": _REPRESENTATION[name], "ReferenceAxes": "xyz"}
        fields[_PARAMS.get(name, name.replace("_", ""))] = field
    return fields


def _desc(dwi, desc):
    if desc is None and f"_desc-{SYNTHESISED}_" in Path(dwi).name:
        desc = SYNTHESISED
    return f"_desc-{desc}" if desc else ""


def _stem(dwi):
    """``sub-01/ses-2/dwi/sub-01_ses-2_run-1`` of ``sub-01_ses-2_run-1_desc-preproc_dwi.nii.gz``."""
    stem = Path(dwi).name.removesuffix(".gz").removesuffix(".nii").removesuffix("_dwi")
    if not _ENTITIES.fullmatch(stem):
        raise InputError(
            dwi, found="a name that is not of BIDS", expected="sub-LABEL[_ses-LABEL]..._dwi.nii.gz",
            remedy="rename it or choose another --naming")
    entities = stem.split("_")
    folders = [e for e in entities[:2] if e.startswith(("sub-", "ses-"))]
    kept = [e for e in entities if not e.startswith("desc-")]  # it is what was described
    return "/".join([*folders, "dwi", "_".join(kept)])
