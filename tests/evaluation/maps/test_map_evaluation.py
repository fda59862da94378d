"""SuperDTI's protocol: its numbers on maps that are known, its report."""

import csv
import json
from functools import partial
from types import SimpleNamespace

import jax
import nibabel as nib
import numpy as np
import pytest

from configs.superdti import get_config
from dwijax import baselines, cli
from dwijax import config as settings
from dwijax.data.cohort import Cohort, Member
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.evaluation.common import figures, groups, regions
from dwijax.evaluation.common.noise import NoiseLevel
from dwijax.evaluation.common.results import Record, Results
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.maps import judge, prepare, protocol
from dwijax.evaluation.maps.evaluate import evaluate
from dwijax.evaluation.maps.methods import FIT, SMOOTHED, method_of, named
from dwijax.evaluation.maps.rois import Roi, read_rois
from dwijax.evaluation.maps.targets import target_table
from dwijax.evaluation.studies import map_studies
from dwijax.fitting.frames import stated_frame
from dwijax.fitting.voxels import fit_maps, principal_directions
from dwijax.gradients import GradientTable, compare
from dwijax.gradients.directions import direction_set
from dwijax.inference import Run, preparing
from dwijax.inference.network_maps import DIRECT, TENSOR, NetworkMaps, from_outputs
from dwijax.training.build import build_optimizer
from dwijax.training.step import init_state


@pytest.fixture(scope="module")
def scan():
    """12 × 14 × 5 voxels of smoothly changing tensors, 2 b0s and 30 directions, with noise."""
    rng = np.random.default_rng(0)
    directions = direction_set(30)
    gtab = GradientTable(np.r_[np.full(2, 5.0), np.full(30, 1000.0)],
                         np.concatenate([directions[:2], directions]))
    shape = (12, 14, 5)
    turn = np.linspace(0, 3, 12 * 14 * 5)  # across the seam
    v = np.stack([np.cos(turn), np.sin(turn), 0.3 + 0 * turn], -1)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    clean = np.exp(-gtab.bvals / 1000 * (0.5 + 1.0 * (v @ gtab.bvecs.T) ** 2))
    signal = np.abs(clean + 0.05 * rng.standard_normal(clean.shape))
    clean, signal = clean.astype(np.float32), signal.astype(np.float32)
    tissue = np.where(np.arange(len(v)) % 2, 4, 2)
    acquired = baselines.Acquired(signal, gtab, np.ones(shape, bool), np.full(3, 2.0))
    return JudgedScan("sub", acquired, clean, NoiseLevel(0.05, "known"),
                regions.from_tissue(tissue), "known",
                {"all acquired": fit_maps([signal], gtab), "noise-free": fit_maps([clean], gtab)},
                np.diag([-2.0, 2, 2, 1]), 0.0)


def rows_of(rows):
    return {row[:4]: row.value for row in rows}


def test_perfect_networks_have_no_error(scan):
    truth = scan.references["noise-free"]
    v1 = principal_directions(truth.tensor)
    perfect = NetworkMaps(fa=truth.fa, md=truth.md, v1=-v1, signed=v1)
    everywhere = np.ones(len(v1), bool)
    rois = [Roi("all of it", "WM", everywhere)]
    maps = {named(FIT, 6): protocol.fit_of(scan.acquired.inputs(np.arange(6))),
            named(SMOOTHED, 6): protocol.fit_of(scan.acquired.inputs(np.arange(6)), 3.0),
            named(DIRECT, 6): perfect,
            "all": protocol.from_fit(scan.references["all acquired"])}
    rows = rows_of(protocol.judge(scan, maps, rois))
    brain = "noise-free", "brain", named(DIRECT, 6)
    assert rows["FA NMSE", *brain] == rows["MD RMSE", *brain] == 0
    assert rows["FA r", *brain] == pytest.approx(1)
    assert rows["V1 angle", "noise-free", "WM near the seam", named(DIRECT, 6)] < 0.1
    assert rows["ROI FA error %", "noise-free", "all of it", named(DIRECT, 6)] == 0
    # The errors of the others are what they are: six directions worse than 30, smoothed between.
    nmse = [rows["FA NMSE", "noise-free", "brain", m]
            for m in (named(FIT, 6), named(SMOOTHED, 6), "all")]
    assert nmse[0] > nmse[1] > 0 and nmse[0] > 2 * nmse[2] > 0
    assert ("FA NMSE", "all acquired", "brain", "all") not in rows


def test_three_directions_have_no_fit_of_fa(scan):
    rows = protocol.judge(scan, {
        named(FIT, 3): protocol.fit_of(scan.acquired.inputs(np.arange(3))),
        named(DIRECT, 3): NetworkMaps(md=scan.references["noise-free"].md)}, [])
    quantities = {row.quantity for row in rows}
    assert quantities and all(q.startswith("MD") for q in quantities)


def test_smoothing_is_tuned_where_it_helps(scan):
    """Of 12 × 14 slowly changing voxels a wide Gaussian is best; a fit of six needs it more."""
    errors = protocol.smoothing_errors(scan, np.arange(6), widths=(0.5, 2.0, 4.0))
    assert errors.argmin() > 0


def test_runs_of_one_number_of_directions_are_told_apart():
    def runs(*kinds):
        return [SimpleNamespace(inputs=np.arange(q), config=SimpleNamespace(
            seeds=seeds, data=SimpleNamespace(added_noise=noise))) for q, seeds, noise in kinds]

    found = protocol.contend(runs((6, 1, 0.0), (6, 1, 0.3), (6, 5, 0.0), (18, 5, 0.0)))
    assert [c.named(DIRECT) for c in found] == [
        "networks 6", "noise-trained networks 6", "ensemble networks 6", "networks 18"]
    assert method_of(found[1].named(TENSOR)) == ("noise-trained tensor network", 6)
    assert map_studies.of_counts(found, (6, 8)) == found[:1]
    assert map_studies.of_counts(found, (8,)) == [found[0], found[3]]


def test_targets_are_held_against_what_was_found():
    rows = [("FA r", "brain", 0.99), ("FA NMSE", "brain", 4.0), ("ROI FA error %", "a", 2.0),
            ("ROI FA error %", "b", 6.0)]
    results = Results([Record("g", s, quantity, "all acquired", region, named(TENSOR, 6), value)
                       for s in "xy" for quantity, region, value in rows])
    table = target_table(results, "g", {"a": "GM", "b": "CSF"})
    assert [row[1:] for row in table.rows] == [
        ["≥ 0.9850", "0.9900", "yes"], ["≤ 3.00", "4.00", "no"], ["≤ 5.00", "2.00", "yes"]]
    assert not target_table(results, "another", {})


def test_coverage_of_a_known_spread(scan):
    """Errors are half a standard deviation everywhere: all within one, none within a quarter."""
    truth = scan.references["noise-free"]
    maps = {"some 6": NetworkMaps(fa=truth.fa + np.float32(0.01),
                                  fa_std=np.full(len(truth.fa), 0.02, np.float32))}
    rows = rows_of(protocol.judge(scan, maps, []))
    key = "fa_std coverage", "noise-free"
    assert rows[*key, "1", "some 6"] == 1 and rows[*key, "0.25", "some 6"] == 0
    assert rows["fa_std factor", "noise-free", "brain", "some 6"] == pytest.approx(0.5, rel=1e-4)


def test_networks_of_several_seeds_are_one_map_with_a_spread():
    fa = np.array([[0.2, 0.4], [0.4, 0.4]])[..., None]
    dyadic = np.tile(np.array([0.0, 0, 0.5, 0, 0, 0]), (2, 2, 1)).astype(np.float32)
    found = from_outputs({"fa": fa, "dyadic": dyadic})[DIRECT]
    np.testing.assert_allclose(found.fa, [0.3, 0.4])
    np.testing.assert_allclose(found.fa_std, [np.std([0.2, 0.4], ddof=1), 0])
    np.testing.assert_allclose(np.abs(found.v1), [[0, 1, 0]] * 2, atol=1e-6)
    assert found.md is None and TENSOR not in from_outputs({"fa": fa})


@pytest.fixture(scope="module")
def run(phantom):
    """Untrained networks: their FA and MD are those of the fit of their six directions."""
    config = get_config("smoke")
    config.model.width, config.data.root, config.seeds = 2, str(phantom), 2
    subject = load_subject(find_subjects(phantom, "phantom")[0])
    gtab = subject.gtab[~subject.gtab.b0s_mask]
    task = settings.build_task(config, gtab, 2)
    network, optimizer = settings.build_network(config, task), build_optimizer(config)
    state = jax.jit(partial(init_state, network, optimizer))(settings.build_keys(config, task))
    about = {"config": {}, "versions": {}, "table": {"b0s": 2, "inputs": 6}, "subjects": {
        "train": ["other"], "validation": [], "test": [], "within_subject": False, "origin": ""},
        "normalisation": {"training_scales": {}, "whitening": None}}
    return Run(config, gtab, settings.input_positions(config, gtab), task.numbers, task,
               state.params,
               jax.jit(settings.build_predictor(config, task, None)), about)


def test_report(run, phantom, tmp_path, monkeypatch, capsys):
    members = [Member(f, None) for f in find_subjects(phantom, "phantom")]
    monkeypatch.setattr(figures, "DPI", 40)
    monkeypatch.setattr(groups, "shifted_members", lambda root, **_: [])
    monkeypatch.setattr(prepare, "load_run", lambda _: run)
    monkeypatch.setattr(prepare, "read_cohort",
                        lambda *_, **__: Cohort([], members[:1], members[1:], False))
    monkeypatch.setattr(judge, "read_rois", partial(read_rois, least=10))
    monkeypatch.setattr(judge, "STUDIED", 1)
    monkeypatch.setattr(map_studies.added_noise, "LEVELS", (0,))
    monkeypatch.setattr(map_studies.lesions, "RADII", (2,))
    results = evaluate([tmp_path], tmp_path)
    printed = capsys.readouterr().out
    assert "default generator (2)" in printed
    for title in ("Regions of interest", "Tracts against", "Lesions in FA", "FA with noise added",
                  "Targets", "Networks of one map each", "so many fa_std"):
        assert title in printed
    key = "default generator", "FA RMSE", "noise-free", "brain"
    # Seven volumes determine seven unknowns: any fit is the fit. A tensor network's is positive.
    for kind, tolerance in ((DIRECT, 0.02), (TENSOR, 0.15)):
        assert results.estimate(*key, named(kind, 6)).mean == pytest.approx(
            results.estimate(*key, named(FIT, 6)).mean, rel=tolerance)
    # Two seeds of each: the run is an ensemble.
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {
        "report.html", *(f"tables/{n}" for n in (
            "per_subject.csv", "summary.csv", "rois.csv", "agreement.csv", "report.md")),
        *(f"figures/{n}_default_generator.png" for n in (
            "fa", "md", "colour", "rois", "boxes", "tracts", "noise", "lesions")),
        "figures/fa_std.png"}
    with (tmp_path / "tables" / "rois.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} <= {"GM", "WM", "subcortical", "CSF"}
    assert all(float(row["worst_error_%"]) >= float(row["mean_error_%"]) >= 0 for row in rows)


def test_predict_writes_the_maps_of_a_short_scan(run, phantom, tmp_path, monkeypatch):
    """Seven volumes in another order, directions turned by 180°: the maps of the whole scan's."""
    files = find_subjects(phantom, "phantom")[0]
    image = nib.load(files.dwi)
    bvals, bvecs = np.loadtxt(files.bval), np.loadtxt(files.bvec)
    positions = np.r_[0, 2 + run.inputs[::-1], 1]
    short = tmp_path / "dwi.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., positions], image.affine), short)
    np.savetxt(tmp_path / "dwi.bval", bvals[positions][None])
    np.savetxt(tmp_path / "dwi.bvec", -bvecs[:, positions])
    monkeypatch.setattr(preparing, "load_run", lambda _: run)
    monkeypatch.setattr("dwijax.runs.folders.read", lambda _: (run.config, None, None, None))
    command = ["predict", str(short), "--bvals", str(tmp_path / "dwi.bval"), "--bvecs",
               str(tmp_path / "dwi.bvec"), "--mask", str(files.mask), "--run", str(tmp_path), "-o"]
    assert cli.main([*command, str(tmp_path / "out"), "--quiet"]) == 0
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"maps.json", "report.html", *(f"{n}.nii.gz" for n in (
        "fa", "md", "v1", "color_fa", "tensor", "fa_std"))}
    found = {n: np.asarray(nib.load(tmp_path / "out" / f"{n}.nii.gz").dataobj)
             for n in ("fa", "md", "v1", "tensor")}
    subject = load_subject(files)
    expected = protocol.fit_of(
        baselines.acquired(subject).inputs(run.inputs))
    mask = np.asarray(nib.load(files.mask).dataobj) > 0
    # LAS on disk as in memory. Some voxels have eigenvalues below the least of a tensor network.
    for name, scale in (("fa", 1), ("md", 1e-3)):
        error = np.abs(found[name][mask] - scale * getattr(expected, name))
        assert np.quantile(error, 0.8) < 0.01 * scale
    world = expected.v1 * [-1, 1, 1]  # RAS+
    clear = expected.fa > 0.3
    assert np.quantile(compare(found["v1"][mask][clear], world[clear]), 0.8) < 2
    trace = found["tensor"][mask][:, [0, 2, 5]].sum(-1) / 3
    np.testing.assert_allclose(trace, found["md"][mask], rtol=1e-4)
    sources = json.loads((tmp_path / "out" / "maps.json").read_text())["maps"]
    assert sources["fa"] == TENSOR
    told, by = stated_frame(tmp_path / "out" / "v1.nii.gz")
    assert (told, by.name) == ("scanner", "maps.json")
    # A b-value that is only nearly the run's: D = -ln(S / S0) / b.
    np.savetxt(tmp_path / "dwi.bval", np.where(bvals < 50, bvals, 1050)[positions][None])
    assert cli.main([*command, str(tmp_path / "near"), "--quiet"]) == 0
    near = np.asarray(nib.load(tmp_path / "near" / "md.nii.gz").dataobj)
    np.testing.assert_allclose(near[mask], found["md"][mask] / 1.05, rtol=1e-4)
    np.savetxt(tmp_path / "dwi.bvec", np.roll(bvecs, 1, axis=0)[:, positions])
    assert cli.main([*command, str(tmp_path / "no"), "--quiet"]) == 2
    assert not (tmp_path / "no").exists()
    assert cli.main([*command, str(tmp_path / "other"), "--resample", "--quiet"]) == 0
    told = json.loads((tmp_path / "other" / "maps.json").read_text())
    assert told["directions"] == "resampled" and any("interpolated" in n for n in told["notes"])
