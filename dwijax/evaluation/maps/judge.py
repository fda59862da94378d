"""All test subjects judged, one at a time: what is kept of each is numbers, and of the first of a
group what is drawn."""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dwijax.data.bids import of_scan
from dwijax.data.cohort import Member
from dwijax.evaluation.common.figures import View, middle_slice
from dwijax.evaluation.common.groups import TUNING_SUBJECTS
from dwijax.evaluation.common.results import ALL_ACQUIRED, Record
from dwijax.evaluation.common.scans import JudgedScan, read_scan
from dwijax.evaluation.maps import protocol
from dwijax.evaluation.maps.atlas import Atlas, register
from dwijax.evaluation.maps.prepare import Prepared
from dwijax.evaluation.maps.protocol import Contender
from dwijax.evaluation.maps.rois import Roi, named_rois, read_rois
from dwijax.evaluation.studies import map_studies
from dwijax.inference.network_maps import NetworkMaps

# Test subjects of a group that tracts, lesions and added noise are studied in.
STUDIED = 2

# Label images are looked for beside a subject's series under these names, with a table of the same
# name (BIDS) or one of the others.
LABELS = ("labels.nii.gz", "labels.nii", "*_dseg.nii.gz", "*_dseg.nii")
TABLES = ("labels.tsv", "labels.txt", "FreeSurferColorLUT.txt")


class First(NamedTuple):
    """The first subject of a group: the slice of it that is drawn, its maps by method, its bundles
    of streamlines by method."""

    view: View
    scan: JudgedScan
    maps: dict[str, NetworkMaps]
    bundles: dict[str, dict[str, list]]


class Evidence(NamedTuple):
    """What is found; by name of a group where it is a dict, ``contenders`` as they were tuned."""

    records: list[Record]
    contenders: dict[str, list[Contender]]
    first: dict[str, First]


def judge(prepared: Prepared, quiet: bool) -> Evidence:
    """Judges every test subject by `dwijax.evaluation.maps.protocol` and the studies.

    Raises:
      InputError: a subject, its labels or its lesion cannot be used.
    """
    out = Evidence([], {}, {})
    total = sum(len(part.cohort.validation[:TUNING_SUBJECTS])
                + sum(len(g.members) for g in part.groups) for part in prepared.parts)
    with tqdm(total=total, desc="judging", unit="subject", disable=quiet or None,
              leave=False) as progress:
        for part in prepared.parts:
            run = part.contenders[0].run

            def read(member, run=run):
                progress.update()
                return read_scan(member, run.gtab, shell=run.config.data.shell,
                                 axis=run.config.data.axis)

            contenders = protocol.tune(
                part.contenders, map(read, part.cohort.validation[:TUNING_SUBJECTS]))
            for group in part.groups:
                out.contenders[group.name] = contenders
                for number, member in enumerate(group.members):
                    scan = read(member)
                    rois = _rois(member, scan, prepared.atlas)
                    _judge_subject(out, group.name, number, contenders, scan, rois)
    return out


def _judge_subject(out, group, number, contenders, scan, rois):
    maps, bundles = protocol.all_maps(contenders, scan.acquired), {}
    rows = protocol.judge(scan, maps, rois)
    rows += map_studies.judge_measured_lesion(contenders, scan, maps)
    if number < STUDIED:
        rng = np.random.default_rng(number)
        if scan.clean is not None:
            rows += map_studies.judge_lesions(contenders, scan, rng)
        rows += map_studies.judge_noise(contenders, scan, rng)
        bundles = map_studies.track_maps(scan, rois, maps)
        rows += map_studies.compare_tracts(scan, bundles)
    out.records.extend(Record(group, scan.name, *row) for row in rows)
    axis = contenders[0].run.config.data.axis
    out.first.setdefault(group, First(middle_slice(scan, axis), scan, maps, bundles))


def _rois(member: Member, scan: JudgedScan, atlas: Atlas | None) -> list[Roi]:
    """Of the phantom's truth, of a label image beside the series, or of the atlas; none where
    there is none of these."""
    files = member.files
    folder = files.truth or files.dwi.parent
    image = next((path for name in LABELS for path in sorted(folder.glob(name))
                  if of_scan(path, files.dwi)), None)
    if image is not None:
        tables = [image.with_name(image.name.partition(".nii")[0] + ".tsv"),
                  *(folder / name for name in TABLES)]
        table = next((path for path in tables if path.is_file()), tables[0])
        rois = read_rois(image, table, scan.acquired.subject, scan.regions)
    elif atlas:
        fa = scan.volume(scan.references[ALL_ACQUIRED].fa)
        labels = register(atlas, fa, scan.affine)[scan.acquired.mask]
        rois = named_rois(labels, atlas.table, scan.regions, atlas.path)
    else:
        return []
    if member.slices is None:
        return rois
    judged = scan.regions["brain"]
    return [roi._replace(voxels=roi.voxels & judged) for roi in rois
            if np.any(roi.voxels & judged)]
