"""One opener of a scan: what it checks before voxels are read, what it reads when asked."""

import ast
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import dwijax
from dwijax.cli import build_parser
from dwijax.commands import scan_files
from dwijax.data.files import SubjectFiles
from dwijax.data.scan import open_scan
from dwijax.errors import InputError
from dwijax.volumes import make_mask
from tests.malformed import SHAPE, good_scan, save

PACKAGE = Path(dwijax.__file__).parent
COMMANDS = ("check", "fit", "predict")
FURTHER = {"check": [], "fit": ["-o", "out"], "predict": ["--run", "run", "-o", "out"]}


@pytest.fixture
def files(tmp_path):
    folder = good_scan(tmp_path / "scan")
    return SubjectFiles("scan", *(folder / f"dwi.{end}" for end in ("nii", "bval", "bvec")),
                        folder / "mask.nii")


def without(files, **fields):
    return SubjectFiles(**{**vars(files), **fields})


def test_opening_reads_table_and_mask_and_no_voxels(files):
    voxels = np.asarray(nib.load(files.dwi).dataobj)
    scan = open_scan(files)
    files.dwi.write_bytes(files.dwi.read_bytes()[:400])
    assert scan.image.shape == (*SHAPE, 10) and len(scan.gtab) == 10 and scan.mask.all()
    np.testing.assert_array_equal(scan.shell(1000), np.arange(10))
    with pytest.raises(InputError, match="cannot be read"):
        scan.read([3])
    nib.save(nib.Nifti1Image(voxels, scan.image.affine), files.dwi)
    np.testing.assert_array_equal(scan.read([3, 0]), voxels[..., [3, 0]])
    np.testing.assert_array_equal(scan.read(), voxels)


def test_a_shell_is_its_b0s_then_its_directions_in_acquired_order(files):
    files.bval.write_text("1000 5 2000 995 0 1005 1000 1000 2000 2000")
    files.bvec.write_text("1 0 0 1 0 .6 .6 0 .8 0\n0 0 1 0 0 .8 0 .6 0 .8\n"
                          "0 0 0 0 0 0 .8 .8 .6 .6\n")
    scan = open_scan(files)
    np.testing.assert_array_equal(scan.shell(1000), [1, 4, 0, 3, 5, 6, 7])
    np.testing.assert_array_equal(scan.shell(2000), [1, 4, 2, 8, 9])
    with pytest.raises(InputError, match="found 3 directions at b=2000; expected at least 6"):
        scan.shell(2000, least=6)
    with pytest.raises(InputError, match="which is a b0"):
        scan.shell(40)


def test_the_brain_is_the_mask_or_the_head_in_the_b0s_that_are_used(files):
    radius = np.linalg.norm(np.indices((20, 20, 16)) - np.array([10, 10, 8])[:, None, None, None],
                            axis=0)
    affine = nib.load(files.dwi).affine
    dwi = np.full((20, 20, 16, 10), 3, np.float32)
    dwi[..., 0][radius < 7] = dwi[..., 1][radius < 5] = 900
    dwi[..., 2:][radius < 7] = 300
    save(files.dwi, dwi, affine)
    save(files.mask, (radius < 4).astype(np.uint8), affine)
    np.testing.assert_array_equal(open_scan(files).brain(), radius < 4)
    scan = open_scan(without(files, mask=None))
    assert scan.mask is None
    for b0s, volumes in (([0, 1], None), ([0], np.r_[0, 2:10]), ([1], np.arange(1, 10))):
        np.testing.assert_array_equal(scan.brain(volumes), make_mask(dwi[..., b0s]))
    with pytest.raises(InputError, match=r"no b0.*give --mask"):
        scan.brain(np.arange(2, 10))


def test_deviations_outside_of_the_mask_may_be_anything(files):
    nine = np.full((*SHAPE, 9), 0.01, np.float32)
    nine[0] = np.nan
    path = files.dwi.with_name("grad_dev.nii")
    save(path, nine)
    assert open_scan(files).grad_dev(np.ones(SHAPE, bool)) == (None, [])
    scan, mask = open_scan(without(files, grad_dev=path)), np.ones(SHAPE, bool)
    with pytest.raises(InputError, match="not finite in volume 0"):
        scan.grad_dev(mask)
    mask[0] = False
    deviations, notes = scan.grad_dev(mask)
    np.testing.assert_array_equal(deviations, np.nan_to_num(nine))
    assert notes == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_take_a_scan_by_the_same_arguments(command):
    line = ["d.nii", "--bvals", "b", "--bvecs", "g", "--mask", "m", "--b0-threshold", "65"]
    args = build_parser().parse_args([command, *line, *FURTHER[command]])
    assert scan_files(args) == SubjectFiles("scan", *map(Path, ("d.nii", "b", "g", "m")),
                                            b0_threshold=65.0)
    args = build_parser().parse_args([command, *line[:5], *FURTHER[command]])
    assert scan_files(args).b0_threshold is None  # 50, or more where there is no b0 else


def test_nothing_else_opens_a_scan():
    """Series and tables of scans are read in one place; the others read what they wrote
    themselves, and a table without a series."""
    users = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and (
                    node.func.id in ("read_dwi", "read_gradients")):
                users.setdefault(node.func.id, set()).add(
                    path.relative_to(PACKAGE).with_suffix("").as_posix())
    assert users == {"read_dwi": {"data/scan", "inference/prediction"},
                     "read_gradients": {"data/scan", "commands/simulate", "gradients/table"}}
