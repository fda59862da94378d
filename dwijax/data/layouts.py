"""Where the files of each subject are, in the folder layouts people have."""

import os
from pathlib import Path

from dwijax.data.files import SubjectFiles, check_name, check_present, folders_in
from dwijax.errors import InputError

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


def find_subjects(root, layout, bad=None):
    """Finds the scans in a folder. Images are looked for, not opened.

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
      bad: dict that takes the faults of single subjects, by name, which are then left out;
        None: the first such fault is raised.

    Returns:
      list of `SubjectFiles`, sorted by name.

    Raises:
      InputError: the layout is unknown, the folder is missing or holds no subject, or a subject's
        gradient table or truth is missing, its image stands there twice, or its name is no name.
    """
    if layout not in LAYOUTS:
        raise InputError(
            "layout",
            found=repr(layout),
            expected="one of " + ", ".join(LAYOUTS),
            remedy="choose one of these",
        )
    root = Path(root)
    bad = Faults() if bad is None else bad
    if layout == "manifest":
        from dwijax.data.manifest import find_listed

        return find_listed(root, bad)
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

            return find_bids(root, bad)
        single = _subject(root, layout)
        if single:
            return [single]
        folders = folders_in(root)
        subjects = []
        for folder in folders:
            try:
                subjects += filter(None, [_subject(folder, layout)])
            except InputError as error:
                bad[folder.name] = error
    except (OSError, ValueError) as error:
        raise InputError(
            root,
            found=f"it cannot be read ({getattr(error, 'strerror', None) or error})",
            expected="a readable folder",
            remedy="check the path and its permissions",
        ) from error
    if not subjects and not bad:
        names, below, _ = _LAYOUTS[layout]
        raise InputError(
            root,
            found=f"no subject in its {len(folders)} folders",
            expected=f"SUBJECT/{Path(below[0]) / names['dwi'][0]}",
            remedy=f"check the path or choose another layout ({', '.join(LAYOUTS)})",
        )
    return subjects


class Faults(dict):
    """Takes no fault of a subject: the first one is raised."""

    def __setitem__(self, name, error):
        raise error


def _subject(folder, layout):
    """`SubjectFiles` of one folder, or None if no image is there."""
    names, below, needs_truth = _LAYOUTS[layout]

    def there(place, kind):
        return [place / name for name in names[kind] if os.path.lexists(place / name)]

    place = next((p for p in (folder / name for name in below) if there(p, "dwi")), None)
    if place is None:
        return None
    files = {}
    for kind in names:
        found = there(place, kind)
        if len(found) > 1:
            raise InputError(place, found=f"{found[0].name} and {found[1].name}",
                             expected="one of the two", remedy="remove the other")
        files[kind] = next(iter(found), None)
    truth = folder / "truth"
    files["truth"] = truth if truth.is_dir() else None
    for kind in ("bval", "bvec") + ("truth",) * needs_truth:
        if files[kind] is None:
            raise InputError(
                place if kind in names else folder,
                found=f"an image without {names.get(kind, (kind,))[0]}",
                expected=f"the {layout} layout",
                remedy="add the missing file",
            )
    for path in filter(None, (files[kind] for kind in names)):
        check_present(path)
    name = os.path.basename(os.path.abspath(folder))  # of a link its own
    check_name(name, folder)
    return SubjectFiles(name=name, **files)
