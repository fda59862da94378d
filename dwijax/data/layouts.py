"""Where the files of each subject are, in the folder layouts people have."""

from dataclasses import dataclass
from pathlib import Path

from dwijax.errors import InputError


@dataclass(frozen=True)
class SubjectFiles:
    """The files of one scan.

    Attributes:
      name: the subject's, unique among those found together.
      dwi: NIfTI series.
      bval: FSL b-values.
      bvec: FSL directions.
      mask: NIfTI mask, or None to make one.
      truth: folder with the phantom's truth, or None.
      grad_dev: NIfTI with FSL's gradient deviations, or None.
      family: what no split may tear apart: the person of several scans, relatives; None: nobody.
      split: ``train``, ``validation`` or ``test`` where a manifest says so, or None.
    """

    name: str
    dwi: Path
    bval: Path
    bvec: Path
    mask: Path | None = None
    truth: Path | None = None
    grad_dev: Path | None = None
    family: str | None = None
    split: str | None = None


_HCP = {
    "dwi": ("data.nii.gz", "data.nii"),
    "bval": ("bvals",),
    "bvec": ("bvecs",),
    "mask": ("nodif_brain_mask.nii.gz", "nodif_brain_mask.nii"),
    "grad_dev": ("grad_dev.nii.gz", "grad_dev.nii"),
}
_PLAIN = {
    "dwi": ("dwi.nii.gz", "dwi.nii"),
    "bval": ("dwi.bval",),
    "bvec": ("dwi.bvec",),
    "mask": ("mask.nii.gz", "mask.nii"),
}
# layout: file names, folders below the subject's, whether the truth must be there
_LAYOUTS = {
    "hcp": (_HCP, ("T1w/Diffusion", "."), False),
    "phantom": (_HCP, ("T1w/Diffusion", "."), True),
    "plain": (_PLAIN, (".",), False),
}
LAYOUTS = (*_LAYOUTS, "bids", "manifest")


def find_subjects(root, layout):
    """Finds the scans in a folder. Files are looked for, not opened.

    ========= ================================================================================
    layout    files
    ========= ================================================================================
    hcp       ``ROOT/SUBJECT/T1w/Diffusion/{data.nii.gz,bvals,bvecs,nodif_brain_mask.nii.gz}``,
              or the same without ``T1w/Diffusion``
    phantom   hcp and a folder ``ROOT/SUBJECT/truth``
    plain     ``ROOT/SUBJECT/{dwi.nii.gz,dwi.bval,dwi.bvec[,mask.nii.gz]}``
    bids      a BIDS dataset, raw or preprocessed: `dwijax.data.bids.find_bids`
    manifest  ROOT is a table of files: `dwijax.data.manifest.find_listed`
    ========= ================================================================================

    `root` may also be the folder of a single subject. ``.nii`` serves as well as ``.nii.gz``.
    Folders without an image are passed over.

    Args:
      root: folder.
      layout: a name of the table above.

    Returns:
      list of `SubjectFiles`, sorted by name.

    Raises:
      InputError: the layout is unknown, the folder is missing or holds no subject, or a subject's
        gradient table or truth is missing.
    """
    if layout not in LAYOUTS:
        raise InputError(
            "layout",
            found=repr(layout),
            expected="one of " + ", ".join(LAYOUTS),
            remedy="choose one of these",
        )
    root = Path(root)
    if layout == "manifest":
        from dwijax.data.manifest import find_listed

        return find_listed(root)
    try:
        if not root.is_dir():
            raise InputError(
                root,
                found="a file" if root.exists() else "no such folder",
                expected=f"a folder of subjects in {layout} layout",
                remedy="check the path",
            )
        if layout == "bids":
            from dwijax.data.bids import find_bids

            return find_bids(root)
        single = _subject(root, layout)
        if single:
            return [single]
        folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
        subjects = [subject for subject in (_subject(f, layout) for f in folders) if subject]
    except OSError as error:
        raise InputError(
            root,
            found=f"it cannot be read ({error.strerror})",
            expected="a readable folder",
            remedy="check the path and its permissions",
        ) from error
    if not subjects:
        names, below, _ = _LAYOUTS[layout]
        raise InputError(
            root,
            found=f"no subject in its {len(folders)} folders",
            expected=f"SUBJECT/{Path(below[0]) / names['dwi'][0]}",
            remedy=f"check the path or choose another layout ({', '.join(LAYOUTS)})",
        )
    return subjects


def _subject(folder, layout):
    """`SubjectFiles` of one folder, or None if no image is there."""
    names, below, needs_truth = _LAYOUTS[layout]
    places = (folder / place for place in below)
    place = next((p for p in places if any((p / name).is_file() for name in names["dwi"])), None)
    if place is None:
        return None
    files = {
        kind: next((place / name for name in choices if (place / name).is_file()), None)
        for kind, choices in names.items()
    }
    truth = folder / "truth"
    files["truth"] = truth if truth.is_dir() else None
    for kind in ("bval", "bvec") + ("truth",) * needs_truth:
        if files[kind] is None:
            raise InputError(
                place if kind in names else folder,
                found=f"an image without {names.get(kind, (kind,))[0]}",
                expected=f"the {layout} layout",
                remedy="add the missing file or leave this subject out",
            )
    return SubjectFiles(name=folder.resolve().name, **files)
