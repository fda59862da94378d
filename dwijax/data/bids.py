"""Scans of a BIDS dataset, raw or preprocessed, found by pybids (the extra ``bids``)."""

import itertools
import json
from pathlib import Path

from dwijax.data.layouts import SubjectFiles
from dwijax.errors import InputError

_IMAGES = [".nii", ".nii.gz"]
_NOT_MATCHED = {"suffix", "extension", "desc", "datatype"}  # may differ between scan and mask


def find_bids(root):
    """Finds the diffusion scans of a dataset. Files are looked for, not opened.

    ======== ===================================================================================
    dataset  scans
    ======== ===================================================================================
    raw      every ``sub-*[_ses-*][_run-*]..._dwi.nii[.gz]``; without masks
    derived  every ``..._desc-preproc_dwi.nii[.gz]`` with the ``..._desc-brain_mask`` beside it;
             a dataset is derived where its description says ``DatasetType: derivative``
    ======== ===================================================================================

    ``.bval`` and ``.bvec`` are inherited (BIDS 1.9, "The inheritance principle"): a file at a
    higher level applies where there is no nearer one. Each scan is one `SubjectFiles`, named by
    its entities; the scans of one ``sub-`` are one family, so that no split tears them apart.

    Args:
      root: folder with a ``dataset_description.json``; for preprocessed scans that of the
        pipeline (``ROOT/derivatives/PIPELINE``).

    Returns:
      list of `SubjectFiles`, sorted by name.

    Raises:
      InputError: pybids is not installed, there is no dataset or no scan in it, or a scan has no
        gradient table.
    """
    root = Path(root)
    derived = _description(root).get("DatasetType") == "derivative"
    try:
        from bids import BIDSLayout, BIDSLayoutIndexer
    except ModuleNotFoundError:
        raise InputError("layout bids", found="no pybids", expected="the extra bids",
                         remedy="pip install 'dwijax[bids]'") from None
    # Sidecars are not read: they may be many and broken, and nothing here depends on them.
    layout = BIDSLayout(root, is_derivative=derived,
                        indexer=BIDSLayoutIndexer(validate=False, index_metadata=False))
    scans = layout.get(suffix="dwi", extension=_IMAGES)
    if derived:
        scans = [scan for scan in scans if scan.entities.get("desc") == "preproc"]
    if not scans:
        raise InputError(
            root, found="no diffusion scan",
            expected="sub-*_desc-preproc_dwi.nii.gz" if derived else "sub-*_dwi.nii.gz",
            remedy="check the path; preprocessed scans are in ROOT/derivatives/PIPELINE")
    found = sorted((_files(layout, scan) for scan in scans), key=lambda files: files.name)
    for first, second in itertools.pairwise(found):
        if first.name == second.name:
            raise InputError(second.dwi, found=f"the same scan as {first.dwi}",
                             expected="one file for each scan", remedy="remove one of them")
    return found


def _files(layout, scan):
    tables = {}
    for kind in ("bval", "bvec"):
        path = layout.get_nearest(scan.path, suffix="dwi", extension=f".{kind}")
        if path is None:
            raise InputError(scan.path, found=f"no .{kind} beside it or above it",
                             expected="a gradient table, as BIDS demands",
                             remedy="add it, or list the scans to use in a manifest")
        tables[kind] = Path(path)
    subject = f"sub-{scan.entities['subject']}"
    return SubjectFiles(
        name=Path(scan.path).name.split(".")[0].removesuffix("_dwi"), dwi=Path(scan.path),
        mask=_mask(layout, scan), family=subject, **tables)


def _mask(layout, scan):
    """The brain mask whose entities say nothing else than the scan's; the most specific one."""
    def entities(file):
        return {k: v for k, v in file.get_entities().items() if k not in _NOT_MATCHED}.items()

    masks = layout.get(suffix="mask", desc="brain", datatype="dwi", extension=_IMAGES,
                       subject=scan.entities["subject"], invalid_filters="allow")
    # A mask that does not name the space is in the scanner's, and so on another grid.
    space = scan.entities.get("space")
    fitting = [mask for mask in masks
               if entities(mask) <= entities(scan) and mask.entities.get("space") == space]
    best = max(fitting, key=lambda mask: len(entities(mask)), default=None)
    return best and Path(best.path)


def _description(root):
    path = root / "dataset_description.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and "Name" in found and "BIDSVersion" in found:
            return found
        found = "no Name or no BIDSVersion in it"
    except FileNotFoundError:
        found = "no such file"
    except OSError as error:
        found = f"it cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        found = "no JSON"
    raise InputError(path, found=found, expected="the description of a BIDS dataset",
                     remedy="give the folder of a dataset, or another layout")
