"""What a table leaves open, as commands decide and tell it: b0s, lengths, shells, repeats."""

import json

import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.data.files import SubjectFiles
from dwijax.data.scan import open_scan
from dwijax.errors import InputError
from dwijax.fitting.choice import bias_of_shells
from dwijax.gradients import GradientTable, table
from dwijax.gradients.directions import direction_set
from tests.tiny_run import GTAB

SHAPE = (8, 7, 5)
MD = 0.7e-3
AXES = direction_set(12)


def signal(bvals, bvecs, kurtosis=0.0):
    """Prolate tensors that turn along the first axis, S0 = 1000, ``[X, Y, Z, M]``; on air."""
    angle = np.linspace(0, 1.5, SHAPE[0])
    v = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    x = np.asarray(bvals) * (0.5e-3 + 0.6e-3 * (v @ np.asarray(bvecs).T) ** 2)
    line = 1000 * np.exp(-x + kurtosis * x * x / 6)
    return np.broadcast_to(line[:, None, None], (*SHAPE, len(bvals))).astype(np.float32)


def write(folder, bvals, bvecs, data=None, lengths=1.0, **options):
    """A scan whose files have the b-values and the vectors as they are given."""
    folder.mkdir(parents=True, exist_ok=True)
    data = signal(bvals, bvecs, **options) if data is None else data
    for name, array in (("dwi.nii", data), ("mask.nii", np.ones(SHAPE, np.uint8))):
        image = nib.Nifti1Image(array, np.diag([-2.0, 2, 2, 1]))
        image.set_qform(image.affine, 1)
        nib.save(image, folder / name)
    np.savetxt(folder / "dwi.bval", np.asarray(bvals)[None], fmt="%g")
    np.savetxt(folder / "dwi.bvec", (np.asarray(bvecs) * np.reshape(lengths, (-1, 1))).T)
    return folder


def files(folder):
    return [str(folder / "dwi.nii"), "--bvals", str(folder / "dwi.bval"),
            "--bvecs", str(folder / "dwi.bvec"), "--mask", str(folder / "mask.nii")]


def fit(folder, *options, out="out"):
    status = cli.main(["fit", *files(folder), "-o", str(folder / out), "--quiet", *options])
    return status or json.loads((folder / out / "fit.json").read_text())


def md(folder, out="out"):
    return nib.load(folder / out / "md.nii.gz").get_fdata().mean()


def test_ge_writes_the_nominal_b_for_b0s(tmp_path, capsys):
    bvecs = np.r_[np.zeros((2, 3)), AXES]
    for nominal in (700, 1000, 3000):
        data = signal(np.r_[0, 0, np.full(12, nominal)], bvecs)
        folder = write(tmp_path / f"b{nominal}", np.full(14, nominal), bvecs, data)
        facts = fit(folder)
        assert facts["bvals"][:3] == [0, 0, nominal]
        assert md(folder) == pytest.approx(MD, rel=1e-3)
        told = capsys.readouterr().err
        assert f"volumes 0, 1 with b={nominal} and no direction are as bright as a b0" in told
        assert len(told.splitlines()) == 1 and facts["notes"] == [told.strip().split(": ", 1)[1]]


def test_ge_scales_b_by_length(tmp_path, capsys):
    """One nominal b for two shells and the b0: what the vectors say is taken once."""
    bvecs, lengths = np.r_[np.zeros((1, 3)), AXES, AXES], np.repeat([0, 0.5**0.5, 1], [1, 12, 12])
    folder = write(tmp_path / "x", np.full(25, 2000), bvecs, signal(2000 * lengths**2, bvecs),
                   lengths)
    facts = fit(folder)
    np.testing.assert_allclose(facts["bvals"], 2000 * lengths**2)
    assert md(folder) == pytest.approx(MD, rel=1e-3)
    assert "b is multiplied by the squared length" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["trace", "adc", "small adc", "fa"])
@pytest.mark.parametrize("b0s", [0, 2])
def test_averages_are_no_b0s(tmp_path, capsys, kind, b0s):
    bvals = np.r_[np.zeros(b0s), np.full(13, 1000.0)]
    bvecs = np.r_[np.zeros((b0s, 3)), AXES, np.zeros((1, 3))]
    data = signal(bvals, bvecs).copy()
    data[::2] *= 0.05  # CSF at b = 1000, of an ADC of 3
    data[..., :b0s] = 1000
    adc = np.where(np.arange(SHAPE[0])[:, None, None] % 2, 700.0, 3000)
    data[..., -1] = {"trace": np.exp(np.log(data[..., b0s:-1]).mean(-1)), "adc": adc,
                     "small adc": 1e-3 * adc, "fa": 0.3}[kind]
    folder = write(tmp_path / "x", bvals, bvecs, data)
    assert fit(folder) == 2
    told = capsys.readouterr().err
    assert "no direction at volume" in told and "remove averaged" in told
    assert len(told.splitlines()) == 1


def test_b0s_of_hcp_7t(tmp_path, capsys):
    bvals, bvecs = np.r_[65, 60, 70, np.full(12, 1000.0)], np.r_[direction_set(3), AXES]
    folder = write(tmp_path / "x", bvals, bvecs)
    facts = fit(folder)
    assert facts["bvals"][:3] == [65, 60, 70] and "b=60 to 70" in facts["notes"][0]
    assert md(folder) == pytest.approx(MD, rel=1e-3)
    assert "3 with b=60 to 70 are taken for b0s (--b0-threshold 70)" in capsys.readouterr().err
    assert not fit(folder, "--b0-threshold", "70", out="told")["notes"]
    assert not capsys.readouterr().err
    assert cli.main(["check", *files(folder), "--b0-threshold", "50"]) == 2
    assert "HCP 7T: 60 to 70" in capsys.readouterr().err
    assert cli.main(["check", *files(folder)]) == 1
    assert "b = 0                    3 volumes" in capsys.readouterr().out
    given = SubjectFiles("x", *(folder / f"dwi.{end}" for end in ("nii", "bval", "bvec")))
    assert given.b0_threshold == table.B0_THRESHOLD  # of cohorts; not imported, for --help


def test_several_shells_in_one_tensor_are_told_and_chosen(tmp_path, capsys):
    bvecs = np.r_[np.zeros((2, 3)), AXES, AXES, AXES]
    bvals = np.repeat([0.0, 1000, 2000, 3000], [2, 12, 12, 12])
    folder = write(tmp_path / "x", bvals, bvecs, kurtosis=0.9)
    facts, told = fit(folder, out="all"), capsys.readouterr().err
    assert "b=1000 to 3000" in told and "--shells 1000" in told and facts["notes"][0] in told
    one = fit(folder, "--shells", "1000", out="one")
    assert not capsys.readouterr().err and one["notes"] == []
    assert one["volumes"] == list(range(14))
    # What the line says is what comes out, within some percent.
    stated = float(facts["notes"][0].split("about ")[1].split(" %")[0])
    assert 100 * (md(folder, "all") / md(folder, "one") - 1) == pytest.approx(stated, abs=6)
    assert stated < -10
    assert fit(folder, "--shells", "3000", "1000", out="two")["volumes"] == [
        *range(14), *range(26, 38)]
    assert fit(folder, "--shells", "1500", out="none") == 2
    assert "b=2000 (12 volumes)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        fit(folder, "--shells", "0")


@pytest.mark.parametrize("bvals, told", [
    ([0, *[1000] * 12], False), ([0, *[950] * 6, *[1000] * 6], False),
    ([0, *[1000] * 12, *[1500] * 12], True), ([0, *np.linspace(500, 3000, 24)], True)])
def test_the_bias_is_told_where_there_is_one(bvals, told):
    bvecs = np.r_[np.zeros((1, 3)), AXES, AXES][:len(bvals)]
    line = bias_of_shells(GradientTable(bvals, bvecs))
    assert bool(line) == told


def test_free_b_values(tmp_path, tiny_run, capsys):
    """``fit`` takes all, ``check`` says so, ``predict`` has no shell to take."""
    bvals = np.r_[0, 0, np.linspace(500, 1500, 60)]
    folder = write(tmp_path / "x", bvals, np.r_[np.zeros((2, 3)), direction_set(60)])
    assert len(fit(folder)["volumes"]) == 62 and md(folder) == pytest.approx(MD, rel=1e-3)
    assert "biased" in capsys.readouterr().err
    assert cli.main(["check", *files(folder)]) == 1
    told = capsys.readouterr().out
    assert "in no shell" in told and "60 volumes, b = 500 to 1500" in told and "b = 1" not in told
    assert cli.main(["predict", *files(folder), "--run", str(tiny_run), "-o",
                     str(tmp_path / "p")]) == 2
    told = capsys.readouterr().err
    assert "no shell (60 volumes, b=500 to 1500)" in told and len(told.splitlines()) == 1
    assert cli.main(["simulate", str(tmp_path / "s"), "--like", *files(folder), "--quiet"]) == 2
    assert "no shell" in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_predict_takes_the_shell_among_free_b_values_and_says_what_it_leaves(tmp_path, tiny_run,
                                                                           capsys):
    bvals = np.r_[0, 0, np.full(8, 1000.0), 1300, 1400, 1500]
    bvecs = np.r_[np.zeros((2, 3)), GTAB.bvecs, AXES[:3]]
    folder = write(tmp_path / "x", bvals, bvecs)
    assert cli.main(["predict", *files(folder), "--run", str(tiny_run), "-o",
                     str(tmp_path / "p")]) == 0
    assert "3 volumes (b=1300 to 1500) belong to no shell" in capsys.readouterr().out
    assert "belong to no shell" in json.loads((tmp_path / "p/dwi.json").read_text())["notes"][0]


def repeated_table():
    bvecs = np.r_[np.zeros((1, 3)), AXES].copy()
    bvecs[9] = -bvecs[4]
    return np.r_[0, np.full(12, 1000.0)], bvecs


def test_repeated_directions_are_told_first(tmp_path, capsys):
    bvals, bvecs = repeated_table()
    folder = write(tmp_path / "x", bvals, bvecs)
    assert cli.main(["check", *files(folder)]) == 1
    suspect, *_ = (line for line in capsys.readouterr().out.splitlines()
                   if line.startswith("suspect"))
    assert "1 of the 12 directions at b=1000 repeats another" in suspect
    assert "volumes 4 and 9 (0.0°)" in suspect
    table = ["--bvals", str(folder / "dwi.bval"), "--bvecs", str(folder / "dwi.bvec")]
    assert cli.main(["simulate", str(tmp_path / "s"), *table, "--subjects", "1", "--shape", "12",
                     "12", "4", "--workers", "1", "--quiet"]) == 0
    assert "volumes 4 and 9" in capsys.readouterr().err


def test_prepare_tells_repeats_and_takes_the_threshold(tmp_path, capsys):
    bvals, bvecs = repeated_table()
    bvecs[0] = AXES[3]  # as HCP 7T's have one
    for name in "abc":
        write(tmp_path / "cohort" / name, np.maximum(bvals, 65), bvecs,
              signal(bvals, bvecs) + ord(name))
    command = ["prepare", str(tmp_path / "cohort"), "--layout", "plain", "--split", "0.34", "0.33",
               "0.33", "--quiet"]
    assert cli.main([*command, str(tmp_path / "no")]) == 2
    assert "--b0-threshold" in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "store"), "--b0-threshold", "70"]) == 0
    assert "volumes 4 and 9" in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "no"), "--shell", "60", "--b0-threshold", "70"]) == 2
    assert "which is a b0" in capsys.readouterr().err
    told = json.loads((tmp_path / "store" / "store.json").read_text())["subjects"]["train"][0]
    assert told["files"]["b0_threshold"] == 70 and told["b0s"] == 1


@pytest.mark.parametrize("line", [
    f"{option} {value}" for option, values in {
        "prepare ROOT STORE --layout plain": (
            "--shell -1", "--shell 0", "--shell nan", "--shell inf", "--seed -1", "--seed 1.5",
            "--slices 0 0", "--slices -1 5", "--split nan 0 1", "--split 2 -1 0",
            "--b0-threshold -1", "--b0-threshold nan"),
        "simulate OUT": (
            "--subjects 0", "--subjects -1", "--first -1", "--seed -1", "--snr 0", "--snr nan",
            "--snr -5", "--shape 0 5 5", "--shape 1000000 5 5", "--voxel-size nan",
            "--voxel-size 0", "--directions 0", "--directions 1000000", "--shells nan",
            "--shells 0", "--shells -1000", "--shells inf", "--b0s 0", "--b0s 100000",
            "--rotate-bvecs nan", "--rotate-bvecs -1", "--workers 0", "--workers -1",
            "--b0-threshold inf"),
        "predict DWI --bvals B --bvecs V --run R -o O": ("--b0-threshold -1",
                                                         "--b0-threshold x"),
        "fit DWI --bvals B --bvecs V -o O": ("--shells -1", "--shells nan", "--b0-threshold nan"),
        "check DWI --bvals B --bvecs V": ("--b0-threshold nan",),
    }.items() for value in values])
def test_numbers_out_of_range_are_one_line(line, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(line.split())
    told = capsys.readouterr().err
    assert caught.value.code == 2 and len(told.splitlines()) == 1
    assert "found '" in told or "expected" in told


def test_a_mended_table_keeps_what_lengths_say(tmp_path):
    """Directions are exchanged as they stand in the file: unit vectors would change b."""
    lengths = np.linspace(0.6, 1, 12)
    folder = write(tmp_path / "x", np.full(12, 1000), AXES, lengths=lengths)
    raw = table.read_bvecs(folder / "dwi.bvec", 12)
    np.testing.assert_allclose(np.linalg.norm(raw, axis=1), lengths)
    table.write_bvecs(raw[:, [1, 0, 2]], folder / "mended")
    np.testing.assert_array_equal(table.read_bvecs(folder / "mended", 12), raw[:, [1, 0, 2]])
    tables = [open_scan(SubjectFiles("scan", folder / "dwi.nii", folder / "dwi.bval",
                                     folder / name, b0_threshold=None)).gtab
              for name in ("dwi.bvec", "mended")]
    np.testing.assert_array_equal(*(table.bvals for table in tables))


@pytest.mark.parametrize("name", ["philips_12dir_b1000", "siemens_sagittal_20dir_b2000",
                                  "canon_60dir_b1500"])
def test_b0s_and_averages_of_real_scans_are_told_apart(shared_data, tmp_path, name):
    """Each scan as GE would write it, with a trace and an ADC map behind it."""
    folder = shared_data / name
    gtab = table.read_gradients(folder / "dwi.bval", folder / "dwi.bvec")
    image, b0s = nib.load(folder / "dwi.nii.gz"), gtab.b0s_mask
    data = np.maximum(np.asarray(image.dataobj, np.float32), 1e-3)
    trace = np.exp(np.log(data[..., ~b0s]).mean(-1))
    b = np.median(gtab.bvals[~b0s])
    adc = np.clip(np.log(data[..., b0s].mean(-1) / trace) / b, 0, 4e-3) * 1e6
    path = tmp_path / "dwi.nii"
    np.savetxt(tmp_path / "dwi.bvec", np.r_[np.where(b0s[:, None], 0, gtab.bvecs),
                                            np.zeros((2, 3))].T)
    nib.save(nib.Nifti1Image(np.concatenate([data, trace[..., None], adc[..., None]], -1),
                             image.affine), path)
    for bvals in (np.full(len(gtab), b), gtab.bvals):
        np.savetxt(tmp_path / "dwi.bval", np.r_[bvals, b, b][None])
        last = len(gtab)
        with pytest.raises(InputError, match=rf"no direction at volumes {last}, {last + 1} "):
            open_scan(SubjectFiles("scan", path, tmp_path / "dwi.bval", tmp_path / "dwi.bvec",
                                   b0_threshold=None))
