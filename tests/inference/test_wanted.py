"""What a network for any table adds to a scan."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

from configs.any_table import get_config
from dwijax.cli import main
from dwijax.data.files import SubjectFiles
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import added_directions, compare, direction_set
from dwijax.inference import load_run
from dwijax.inference.held_back import held_back
from dwijax.inference.wanted import extend
from tests.tiny_run import write_tiny_run


@pytest.fixture(scope="module")
def any_table(tmp_path_factory):
    return write_tiny_run(tmp_path_factory.mktemp("run") / "any", config=get_config("smoke"))


def nearest(bvecs):
    """Smallest angle between any two of these axes, degrees."""
    angles = compare(*np.broadcast_arrays(bvecs[:, None], bvecs[None]))
    return angles[np.triu_indices(len(bvecs), 1)].min()


def test_added_directions_fill_the_gaps():
    """Nearly as even as a set that was made at once, and no worse for what is left out."""
    own = direction_set(12)
    more = added_directions(own, 18)
    assert more.shape == (18, 3)
    np.testing.assert_allclose(np.linalg.norm(more, axis=1), 1)
    assert nearest(np.concatenate([own, more])) > 0.75 * nearest(direction_set(30))
    assert nearest(np.concatenate([own, more[:6]])) > 0.6 * nearest(direction_set(18))


def predicted(capsys, scan, run, out, *options):
    status = main(["predict", str(scan / "dwi.nii"), "--bvals", str(scan / "dwi.bval"), "--bvecs",
                   str(scan / "dwi.bvec"), "--run", str(run), "-o", str(out), *options])
    return status, capsys.readouterr()


def test_so_many_more(any_table, scan, tmp_path, capsys):
    status, said = predicted(capsys, scan, any_table, tmp_path / "out", "--add", "5")
    assert status == 0, said.err
    measured = nib.load(scan / "dwi.nii")
    longer = nib.load(tmp_path / "out" / "dwi.nii.gz")
    n = measured.shape[3]
    assert longer.shape[3] == n + 5
    np.testing.assert_array_equal(np.asarray(longer.dataobj)[..., :n], np.asarray(measured.dataobj))
    bvecs = np.loadtxt(tmp_path / "out" / "dwi.bvec").T
    assert nearest(bvecs[np.loadtxt(tmp_path / "out" / "dwi.bval") > 50]) > 10
    about = json.loads((tmp_path / "out" / "dwi.json").read_text())
    assert about["synthetic_volumes"] == list(range(n, n + 5))
    assert about["directions"] == "any table"


def test_the_directions_of_a_table(any_table, scan, tmp_path, capsys):
    """In its order behind the measured ones; those that are measured, to 1 degree or with the
    other sign, and those of another b, are not synthesised."""
    bvals, bvecs = np.loadtxt(scan / "dwi.bval"), np.loadtxt(scan / "dwi.bvec")
    first = int(np.flatnonzero(bvals > 50)[0])
    new = added_directions(bvecs.T[bvals > 50], 4).T
    np.savetxt(tmp_path / "t.bval", [[0, *[bvals[first]] * 5, 3000]])
    np.savetxt(tmp_path / "t.bvec", np.column_stack(
        [np.zeros(3), new[:, :2], -bvecs[:, first], new[:, 2:], new[:, 0]]))
    status, said = predicted(capsys, scan, any_table, tmp_path / "out", "--table",
                             str(tmp_path / "t"))
    assert status == 0, said.err
    found = np.loadtxt(tmp_path / "out" / "dwi.bvec")[:, len(bvals):]
    np.testing.assert_allclose(found, new, atol=1e-5)
    assert "1 directions of" in said.out and "1 of its 5 directions are measured" in said.out


@pytest.mark.parametrize("options, told", [
    (["--add", "3", "--table", "x"], "not allowed with"), (["--add", "0"], "from 1")])
def test_what_cannot_be_meant(any_table, scan, tmp_path, capsys, options, told):
    with pytest.raises(SystemExit) as ended:
        predicted(capsys, scan, any_table, tmp_path / "out", *options)
    assert ended.value.code == 2 and told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_of_directions_adds_its_own(tiny_run, scan, tmp_path, capsys):
    status, said = predicted(capsys, scan, tiny_run, tmp_path / "out", "--add", "3")
    assert status == 2 and "a run for any table" in said.err


class Shell:
    """A subject that is asked for its table alone."""

    def __init__(self, q, b=1000.0):
        self.gtab = GradientTable(np.r_[0.0, np.full(q, b)],
                                  np.r_[np.zeros((1, 3)), direction_set(q)])
        self.volumes = np.arange(1 + q)


def test_ninety_in_all_by_default():
    assert len(extend(Shell(30), table=None, add=None, where="b").gtab) == 60
    with pytest.raises(InputError, match="--add"):
        extend(Shell(90), table=None, add=None, where="b")


def test_fewer_than_six_are_refused_and_another_b_is_told():
    with pytest.raises(InputError, match="at least 6"):
        extend(Shell(5), table=None, add=3, where="b")
    assert not extend(Shell(8), table=None, add=3, where="b").notes


def test_outside_of_training_held_back_directions_tell(any_table, scan, tmp_path, capsys):
    """Told on the screen, in dwi.json and so on the page; every fifth direction is held back."""
    bvals = np.loadtxt(scan / "dwi.bval")
    for name in ("dwi.nii", "dwi.bvec"):
        (tmp_path / name).symlink_to(scan / name)
    np.savetxt(tmp_path / "dwi.bval", [np.where(bvals > 50, 5000, bvals)], fmt="%g")
    status, said = predicted(capsys, tmp_path, any_table, tmp_path / "out", "--add", "3")
    assert status == 0, said.err
    assert "outside of what the run was trained on: b 5" in said.out
    q = int((bvals > 50).sum())
    assert f"{q // 5} direction of this scan held back: error " in said.out
    assert any("held back" in line for line in json.loads(
        (tmp_path / "out" / "dwi.json").read_text())["suspect"])


def test_a_silent_network_held_back_is_the_harmonics(any_table, scan):
    """The figure of networks that add nothing is that of the residual baseline; six directions
    cannot be split."""
    run = load_run(any_table)
    silent = run._replace(params=jax.tree.map(jnp.zeros_like, run.params))
    subject = load_subject(SubjectFiles("scan", scan / "dwi.nii", scan / "dwi.bval",
                                        scan / "dwi.bvec"), min_directions=6)
    found = held_back(silent, subject)
    assert found.networks == pytest.approx(found.harmonics, rel=1e-3)
    few = np.r_[subject.gtab.b0s, subject.gtab.dwis[:6]]
    assert held_back(silent, replace(subject, dwi=subject.dwi[..., few], gtab=subject.gtab[few],
                                     volumes=subject.volumes[few])) is None
