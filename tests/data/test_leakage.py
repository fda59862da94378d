"""Every way for a target to reach an input is an error."""

import json

import numpy as np
import pytest

from configs.phantom import get_config
from dwijax import config as settings
from dwijax.data import leakage
from dwijax.data.cohort import Loaded
from dwijax.data.files import SubjectFiles
from dwijax.data.sidecars import check_sidecar
from dwijax.errors import InputError
from dwijax.gradients import GradientTable, read_gradients
from dwijax.gradients.directions import direction_set
from dwijax.training import reading
from tests.cohorts import write_subject

Q = 6


def about(**changes):
    """A run's description without a fault."""
    normalisation = {
        "training_scales": {"a": 1.0, "b": 2.0},
        "whitening": {"mean": [0.0] * (1 + Q), "matrix": np.eye(1 + Q).tolist()},
        "whitening_from": {"directions": list(range(Q)), "subjects": ["a", "b"]},
    }
    return {"normalisation": normalisation | changes, "table": {"inputs": Q},
            "subjects": {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}}


def scan(folder, content=b"x" * 10, name="dwi.nii.gz"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return SubjectFiles(folder.name, folder / name, folder / "dwi.bval", folder / "dwi.bvec")


def test_a_subject_in_two_parts():
    leakage.check_subjects({"train": ["a"], "test": ["b"]}, "config.json")
    with pytest.raises(InputError, match=r"b \(train and test\)"):
        leakage.check_subjects({"train": ["a", "b"], "validation": ["c"], "test": ["b"]}, "here")


def test_a_scan_under_two_names(tmp_path):
    one, two = scan(tmp_path / "one"), scan(tmp_path / "two")
    other = scan(tmp_path / "other", b"y" * 10)
    leakage.check_scans({"train": [one, two], "test": [other]})
    with pytest.raises(InputError, match="the same bytes"):
        leakage.check_scans({"train": [one], "test": [other, two]})


def test_an_input_among_the_targets():
    bvecs = direction_set(20).copy()
    gtab = GradientTable(np.full(20, 1000.0), bvecs)
    leakage.check_directions(gtab, np.arange(Q), np.arange(Q, 20), "bvecs")
    bvecs[11] = -bvecs[2] + [0.005, 0, 0]  # the opposite, 0.3° away, is the same axis
    with pytest.raises(InputError, match="input 2 and target 11"):
        leakage.check_directions(GradientTable(gtab.bvals, bvecs), np.arange(Q),
                                 np.arange(Q, 20), "bvecs")


@pytest.mark.parametrize("table", ["gradients/hcp_b1000_90dir.bval", "canon_60dir_b1500/dwi.bval"])
def test_real_tables_pass(shared_data, table):
    path = shared_data / table
    gtab = read_gradients(path, path.with_suffix(".bvec"))
    gtab = gtab[~gtab.b0s_mask]
    leakage.check_directions(gtab, np.arange(30), np.arange(30, len(gtab)), path)


def test_training_refuses_what_evaluation_would(tmp_path, monkeypatch, capsys):
    """Before a slice is read: scans in two parts, joint denoising; then the table."""
    config = get_config()
    config.data.layout, config.data.root = "plain", str(tmp_path)
    for seed, name in enumerate("abc"):
        write_subject(tmp_path / name, (6, 6, 4), seed)
    cohort = reading.read_cohort(config)
    assert [len(part) for part in cohort[:3]] == [1, 1, 1]

    sidecar = cohort.train[0].files.dwi.with_suffix(".json")
    sidecar.write_text('{"Denoising": "dwidenoise"}')
    with pytest.raises(InputError, match="denoised together"):
        reading.read_cohort(config)
    sidecar.unlink()
    cohort.test[0].files.dwi.write_bytes(cohort.train[0].files.dwi.read_bytes())
    with pytest.raises(InputError, match="the same bytes"):
        reading.read_cohort(config)
    with pytest.raises(InputError, match="in more than one part"):
        leakage.check_cohort(cohort._replace(validation=cohort.train), tmp_path)

    config.data.inputs = Q
    bvecs = direction_set(20).copy()
    bvecs[11] = bvecs[2]
    train = Loaded(None, [GradientTable(np.full(20, 1000.0), bvecs)], {}, 2)
    monkeypatch.setattr(reading, "_from_files", lambda *_: reading.Data(train, None, []))
    config.data.drop_repeated = False
    with pytest.raises(InputError, match=r"input 2 and target 11.*drop_repeated=True"):
        reading.read_slices(config, cohort, 0, iter)
    config.data.drop_repeated = True
    reading.read_slices(config, cohort, 0, iter)
    assert "direction 11 of the shell is left out of the targets" in capsys.readouterr().err


def test_targets_that_repeat_an_input_are_left_out():
    config = get_config()
    config.data.inputs = Q
    bvecs = direction_set(20).copy()
    bvecs[11], bvecs[14], bvecs[13] = -bvecs[2], bvecs[5], bvecs[12]
    gtab = GradientTable(np.full(20, 1000.0), bvecs)
    assert [found[:2] for found in settings.repeats(config, gtab)] == [(11, 2), (14, 5)]
    kept = np.setdiff1d(np.arange(Q, 20), [11, 14])  # two equal targets are no leak
    np.testing.assert_array_equal(settings.output_positions(config, gtab), kept)
    for joint in (False, True):
        config.model.joint = joint
        task = settings.build_task(config, gtab, 2)
        assert (task.out_channels if joint else len(task.numbers)) == len(kept)
    leakage.check_directions(gtab, np.arange(Q), kept, "bvecs")
    config.data.drop_repeated = False
    assert len(settings.output_positions(config, gtab)) == 20 - Q
    config.data.drop_repeated, config.data.inputs = True, 10
    with pytest.raises(InputError, match="which the others repeat"):
        settings.output_positions(config, GradientTable(gtab.bvals, np.tile(bvecs[:10], (2, 1))))


def test_statistics_of_inputs_of_training_subjects_pass():
    leakage.check_statistics(about(), "config.json")
    leakage.check_statistics(about(whitening=None), "config.json")


@pytest.mark.parametrize("change, told", [
    ({"whitening_from": {"directions": [*range(Q), 9], "subjects": ["a"]}}, "from targets"),
    ({"whitening_from": {"directions": list(range(Q)), "subjects": ["a", "d"]}}, "from d"),
    ({"whitening_from": None}, "without a record"),
    ({"training_scales": {"a": 1.0, "d": 2.0}}, "scales of d"),
])
def test_statistics_of_anything_else(change, told):
    with pytest.raises(InputError, match=told):
        leakage.check_statistics(about(**change), "config.json")


@pytest.mark.parametrize("content", [
    {"Denoising": "dwidenoise (MRtrix3)"}, {"DenoisingMethod": {"Method": "MP-PCA"}},
    {"command_history": ["mrconvert a b", "dwidenoise b c"]}, {"Denoised": True},
    {"SeriesDescription": "dti NORDIC"}, {"denoise_method": "patch2self"},
    {"synthetic_volumes": [31, 32]},
])
@pytest.mark.parametrize("name", ["dwi.nii.gz", "data.nii"])
def test_volumes_denoised_together(tmp_path, content, name):
    files = scan(tmp_path, name=name)
    check_sidecar(files)  # there is none
    path = tmp_path / f"{name.split('.')[0]}.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=path.name):
        check_sidecar(files)


@pytest.mark.parametrize("content", [
    {"Denoising": "none"}, {"Denoising": False}, {"Denoising": "non-local means, each volume"},
    {"EchoTime": 0.09, "SeriesDescription": "ep2d_diff_mpcalibration"}, [1, 2],
])
def test_other_sidecars_pass(tmp_path, content):
    files = scan(tmp_path)
    (tmp_path / "dwi.json").write_text(json.dumps(content))
    check_sidecar(files)


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000, b"\xff\xfe", bytes(range(256))])
def test_a_broken_sidecar_stops_nothing_and_is_told(tmp_path, capfd, content):
    files = scan(tmp_path)
    (tmp_path / "dwi.json").write_bytes(content.encode() if isinstance(content, str) else content)
    check_sidecar(files)
    told = capfd.readouterr().err
    assert told.startswith(f"{tmp_path / 'dwi.json'}: no JSON") and told.count("\n") == 1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_sidecars_of_other_encodings_are_read(tmp_path, encoding):
    files = scan(tmp_path)
    content = {"InstitutionName": "Hôpital", "Denoising": "dwidenoise"}
    text = json.dumps(content, ensure_ascii=False)
    (tmp_path / "dwi.json").write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match="Denoising: "):
        check_sidecar(files)


def test_inherited_sidecars_count_and_the_nearest_decides(tmp_path):
    folder = tmp_path / "sub-01" / "dwi"
    files = scan(folder, name="sub-01_run-1_dwi.nii.gz")
    (tmp_path / "task_dwi.json").write_text('{"Denoising": "NORDIC"}')  # of no entity it has
    (tmp_path.parent / "dwi.json").write_text('{"Denoising": "NORDIC"}')  # above the dataset
    check_sidecar(files)
    (tmp_path / "dwi.json").write_text('{"Denoising": "NORDIC"}')
    with pytest.raises(InputError, match=r"dwi\.json: found Denoising"):
        check_sidecar(files)
    (folder / "sub-01_run-01_dwi.json").write_text('{"Denoising": "none"}')
    check_sidecar(files)
