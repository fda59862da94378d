"""From a run's folder to its report."""

import csv
import re

import numpy as np
import pytest

from configs import phantom as phantom_config
from dwijax.baselines import networks as networks_of
from dwijax.data.cohort import Cohort, Member
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import simulate
from dwijax.data.phantom.like import identity
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.evaluation.common import figures, groups, regions, tables
from dwijax.evaluation.common.results import Key, Record, Results
from dwijax.evaluation.common.scans import MissingDirections, read_scan
from dwijax.evaluation.directions import judge, prepare
from dwijax.evaluation.directions.evaluate import evaluate
from dwijax.evaluation.directions.rows import NETWORKS, WITH_TARGETS
from dwijax.gradients import GradientTable
from dwijax.inference import Run


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    simulate(folder, subjects=3, shape=(20, 24, 12), voxel_size=6.0, n_directions=24, b0s=2,
             workers=1, progress=False, lesions=True)
    return folder


@pytest.fixture
def pretend(monkeypatch, phantom):
    """Lets `evaluate` find a run whose networks are as good as the noise-free signal."""
    files = find_subjects(phantom, "hcp")
    monkeypatch.setattr(figures, "DPI", 40)

    def install(layout, cohort, shifted=()):
        config = phantom_config.get_config()
        config.data.layout, config.data.root, config.calibrate = layout, str(phantom), False
        scan = read_scan(Member(files[0], None), _shell(files[0]), shell=1000, axis=2)
        gtab = scan.acquired.gtab[2:]
        subjects = {"train": ["other"], "validation": [], "test": [],
                    "within_subject": cohort.within_subject}
        run = Run(config, gtab, np.arange(16), np.arange(16, 24), None, None, None,
                  {"config": {}, "versions": {}, "table": {"b0s": 2, "inputs": 16},
                   "subjects": subjects | {"origin": ""},
                   "normalisation": {"training_scales": {}, "whitening": None}})
        monkeypatch.setattr(prepare, "load_run", lambda *_, **__: run)
        monkeypatch.setattr(prepare, "read_cohort", lambda *_, **__: cohort)
        monkeypatch.setattr(groups, "shifted_members", lambda root, **_: list(shifted))
        monkeypatch.setattr(networks_of, "synthesise",
                            lambda run, subject: np.full((*subject.mask.shape, 8),
                                                         0.4 * subject.scale, np.float32))

    return files, install


def _shell(files):
    gtab = load_subject(files).gtab
    return gtab[~gtab.b0s_mask]


def test_evaluation_of_both_generators(pretend, tmp_path, capsys):
    files, install = pretend
    members = [Member(f, None) for f in files]
    install("phantom", Cohort([], members[:1], members[1:], False), shifted=members[:2])
    results = evaluate(tmp_path, baseline_set="fewest")
    printed = capsys.readouterr().out
    assert re.search(r"default generator \(2 subjects\), phantom [0-9a-f]{16}", printed)
    assert "shifted generator (2 subjects)" in printed and "16 + 8 by networks" in printed
    key = "default generator", "R", WITH_TARGETS, "brain", "tensor"
    assert results.estimate(*key).mean == pytest.approx(1, abs=1e-3)
    assert "noise-free DWIs (limit)" in printed and "perfect noise-free DWIs have R" in printed
    assert re.search(r"Not made:\n- FA against an independent reference: with 8 targets", printed)
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {
        "report.html", "tables/per_subject.csv", "tables/summary.csv", "tables/comparisons.csv",
        "tables/report.md", "tables/evaluation.json", "tables/per_direction.csv",
        "tables/he2020_slices.csv", "figures/errors.png", "figures/fa_histograms.png",
        "figures/he2020_figure4c.png", "figures/bland_altman.png", "figures/sphere.png",
        "figures/spectra.png",
        *(f"figures/{kind}_{generator}_generator.png"
          for kind in ("directions", "fa", "bias", "he2020_figure4")
          for generator in ("default", "shifted"))}
    with (tmp_path / "tables" / "per_subject.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["subject"] for row in rows} == {f.name for f in files}
    assert {row["region"] for row in rows} - {"background"} <= {*regions.REGIONS, regions.LESION}
    assert {row["region"] for row in rows} >= {*regions.REGIONS, "background"}


def test_evaluation_within_one_scan_claims_no_interval(pretend, tmp_path, capsys):
    files, install = pretend
    slabs = [Member(files[0], np.array(s)) for s in ([0, 1, 2], [5, 6], [9, 10])]
    install("hcp", Cohort(*([s] for s in slabs), True))
    evaluate(tmp_path, baseline_set="fewest")
    printed = capsys.readouterr().out.replace("0.048 ± 0.0034", "")  # the paper's own number
    assert "networks − it, WM [95 %]" in printed and "not of others" in printed
    printed = printed.replace("± 1.96 SD", "")  # limits of agreement, over voxels
    assert "WITHIN SUBJECT" in printed and "±" not in printed and "generator" not in printed
    assert printed.count("(within subject)") == 7 and "p, t-test" not in printed
    with (tmp_path / "tables" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["note"] for row in rows} == {"within subject"}
    assert {row["ci95_low"] for row in rows} == {""}


def test_only_the_slab_counts(pretend):
    files, _ = pretend
    scan = read_scan(Member(files[0], np.array([5, 6])), _shell(files[0]), shell=1000, axis=2)
    inside = scan.volume(scan.regions["brain"])
    assert set(np.nonzero(inside)[2]) == {5, 6}
    assert inside.sum() == scan.acquired.mask[:, :, [5, 6]].sum()


def test_a_bad_subject_leaves_nothing_behind(pretend, tmp_path, monkeypatch):
    files, install = pretend
    members = [Member(f, None) for f in files]
    install("hcp", Cohort([], members[:1], members[1:], False))

    def read(member, *args, **kwargs):
        if member is members[2]:
            raise InputError("bvecs", found="a", expected="b", remedy="c")
        return read_scan(member, *args, **kwargs)

    monkeypatch.setattr(judge, "read_scan", read)
    with pytest.raises(InputError, match="bvecs"):
        evaluate(tmp_path, baseline_set="fewest", quiet=True)
    assert not list(tmp_path.iterdir())


def test_test_subjects_seen_in_training_are_refused(pretend, tmp_path):
    files, install = pretend
    members = [Member(f, None) for f in files]
    install("phantom", Cohort([], members[:1], members[1:], False))
    run = prepare.load_run("")  # the pretended one
    run.about["subjects"]["train"].append(files[2].name)
    with pytest.raises(InputError, match=files[2].name):
        evaluate(tmp_path, baseline_set="quick", quiet=True)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_made_is_told_and_the_rest_is_made(pretend, tmp_path, capsys, monkeypatch):
    """A test subject without the targets; nothing to tune on; the scan that was imitated."""
    files, install = pretend
    members = [Member(f, None) for f in files]
    install("hcp", Cohort([], [], members[1:], False))

    def read(member, *args, **kwargs):
        if member is members[2]:
            raise MissingDirections("bvecs", found="16 directions", expected="24", remedy="none")
        return read_scan(member, *args, **kwargs)

    monkeypatch.setattr(judge, "read_scan", read)
    prepare.load_run("").about["subjects"]["made_like"] = [identity(load_subject(files[1]))]
    results = evaluate(tmp_path, baseline_set="quick")
    printed = capsys.readouterr().out
    assert f"SAME SCAN: training subjects were made like {files[1].name};" in printed
    assert printed.count("(same scan)") == 8  # in every table's title
    missing = printed[printed.index("Not made:"):]
    assert "tuned baselines: there are no validation subjects" in missing
    assert "bvecs: found 16 directions" in missing
    assert results.methods("test subjects", "DWI RMSE", "measured") == [
        NETWORKS, "tensor", "sh2", "sh4", "sh6"]
    assert {r.subject for r in results.records} == {files[1].name}

    install("hcp", Cohort([], [], members[2:], False))
    with pytest.raises(InputError, match="16 directions"):
        evaluate(tmp_path / "other", baseline_set="quick")
    assert not (tmp_path / "other").exists()


def test_another_table_is_refused(pretend):
    files, _ = pretend
    turned = _shell(files[0])
    bvecs = turned.bvecs.copy()
    bvecs[0] = bvecs[1]  # a direction that was not measured
    other = GradientTable(turned.bvals, bvecs)
    with pytest.raises(InputError, match="of the run at"):
        read_scan(Member(files[0], None), other, shell=1000, axis=2)


def test_maps_of_a_scan_agree_with_the_phantoms_truth(pretend):
    """The noise-free reference is the truth folder's FA but for the weights of the fit."""
    import nibabel as nib

    files, _ = pretend
    scan = read_scan(Member(files[0], None), _shell(files[0]), shell=1000, axis=2)
    fa = np.asarray(nib.load(files[0].truth / "fa.nii.gz").dataobj)[scan.acquired.mask]
    assert np.abs(scan.references["noise-free"].fa - fa).mean() < 0.01


def test_tables_line_up_and_say_what_is_missing():
    records = [Record("test", s, "DWI RMSE", "measured", "brain", m, v)
               for s, m, v in (("a", "networks", 0.9), ("a", "sh", 1.0),
                               ("b", "networks", 1.9), ("b", "sh", 2.0))]
    results = Results(records)
    key = Key("test", "DWI RMSE", "measured", "brain", "sh")
    assert tables.mean_sd(results.estimate(*key), 1) == "1.5 ± 0.7"
    assert tables.mean(results.estimate(*key._replace(method="tensor"))) == tables.DASH
    difference, percent = results.paired(key._replace(method="networks"), "sh")
    assert difference.mean == pytest.approx(-0.1) and percent.mean == pytest.approx(-7.5)
    table = tables.Table("Title", ["a", "b"], [["x", "1.0"], ["long", "–"]], ["note"])
    assert table.text().splitlines() == ["Title", "a       b", "----  ---", "x     1.0",
                                         "long    –", "note"]
    assert "| long | – |" in table.markdown()
