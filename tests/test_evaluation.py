"""The protocol, its statistics and its report, on arrays with known answers."""

import csv
import re

import numpy as np
import pytest
from scipy import stats

from configs import he2020
from configs import phantom as phantom_config
from dwijax import baselines
from dwijax.data.cohort import Cohort, Member, brain_slices, central_slices, limited
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import simulate
from dwijax.data.phantom.like import identity
from dwijax.data.split import subject_split
from dwijax.data.subject import load_subject
from dwijax.directions import direction_set
from dwijax.errors import InputError
from dwijax.evaluation import (
    figures,
    metrics,
    noise,
    regions,
    report,
    spectra,
    statistics,
    tables,
)
from dwijax.evaluation.direction_synthesis import Split, judge
from dwijax.evaluation.rows import (
    ALL,
    INDEPENDENT,
    INPUTS,
    INPUTS_ALONE,
    NETWORKS,
    PERFECT,
    SIMULATED,
    TRUE_MAP,
    WITH_TARGETS,
)
from dwijax.evaluation.scan import MissingDirections, Scan, read_scan
from dwijax.gradients import GradientTable
from dwijax.inference import Run
from dwijax.voxelwise import fit_maps

SIGMA = 0.04


# Statistics


def test_the_interval_is_scipys():
    values = [0.3, 0.1, 0.25, 0.4, 0.2]
    e = statistics.estimate(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(e, (5, np.mean(values), np.std(values, ddof=1), low, high))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, 0.3, (2000, 6))
    inside = [e.low < 1.0 < e.high for e in map(statistics.estimate, draws)]
    assert abs(np.mean(inside) - 0.95) < 0.015


def test_the_bootstrap_of_six_covers_as_often_as_its_docstring_says():
    draws = np.random.default_rng(1).normal(1.0, 0.3, (400, 6))
    found = [statistics.bootstrap(values, draws=500) for values in draws]
    assert abs(np.mean([e.low < 1.0 < e.high for e in found]) - 0.87) < 0.04


def test_paired_differences_are_scipys():
    a, b = np.array([1.0, 1.2, 0.9, 1.1]), np.array([1.3, 1.4, 1.25, 1.2])
    difference, percent = statistics.paired(a, b)
    interval = stats.ttest_rel(a, b).confidence_interval()
    np.testing.assert_allclose((difference.low, difference.high), interval)
    assert percent.mean == pytest.approx(np.mean(100 * (a / b - 1)))
    assert difference.excludes_zero


@pytest.mark.parametrize("values, between", [([0.3], True), ([0.1, 0.2, 0.3], False)])
def test_one_person_has_no_interval(values, between):
    e = statistics.estimate(values, between)
    assert e.mean == pytest.approx(np.mean(values))
    assert np.isnan([e.sd, e.low, e.high]).all() and not e.excludes_zero


def test_the_bootstrap_is_scipys():
    values = np.random.default_rng(0).normal(0.9, 0.1, 12)
    e = statistics.bootstrap(values)
    low, high = stats.bootstrap((values,), np.mean, method="percentile",
                                rng=1).confidence_interval
    assert e.mean == pytest.approx(values.mean())
    np.testing.assert_allclose((e.low, e.high), (low, high), atol=0.004)
    assert np.isnan(statistics.bootstrap(values, between_subjects=False).low)


def test_paired_tests_are_scipys():
    a, b = np.array([1.0, 1.2, 0.9, 1.1, 1.4]), np.array([1.3, 1.4, 1.25, 1.2, 1.39])
    np.testing.assert_allclose(statistics.tests(a, b),
                               (stats.ttest_rel(a, b).pvalue, stats.wilcoxon(a, b).pvalue))
    assert np.isnan(statistics.tests(a, a)).all() and np.isnan(statistics.tests([1.0], [2.0])).all()


# Metrics, regions, noise


def test_errors_of_a_region():
    values, reference = np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 0.0])
    region = np.array([True, True, False])
    assert metrics.rmse(values, reference, region) == pytest.approx(np.sqrt(2.5))
    assert metrics.bias(values, reference, region) == -1.5
    assert metrics.excess(0.05, 0.04) == pytest.approx(0.03)
    assert metrics.excess(0.03, 0.04) == 0
    assert np.isnan(metrics.rmse(values, reference, ~region & region))


def test_tissues_never_overlap_and_fill_the_brain():
    found = regions.from_tissue(np.array([1, 2, 3, 4, 0]))
    names = ("brain", *regions.TISSUES)
    assert [int(found[r].sum()) for r in names] == [5, 1, 2, 1]
    classes = regions.from_fit(np.array([0.6, 0.1, 0.6]), np.array([0.7, 0.8, 2.9]))
    np.testing.assert_array_equal(np.stack([classes[r] for r in names]),
                                  [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_borders_are_between_tissues():
    rng = np.random.default_rng(0)
    mask = rng.random((6, 7, 5)) < 0.8
    classes = regions.from_tissue(rng.integers(1, 5, int(mask.sum())))
    volume = np.zeros(mask.shape, int)
    volume[mask] = sum((i + 1) * classes[n] for i, n in enumerate(regions.TISSUES))
    expected = np.zeros(mask.shape, bool)
    for at in np.argwhere(mask):
        for step in np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)]):
            to = at + step
            if (to >= 0).all() and (to < mask.shape).all() and volume[tuple(to)]:
                expected[tuple(at)] |= volume[tuple(to)] != volume[tuple(at)]
    np.testing.assert_array_equal(regions.border(classes, mask), expected[mask])


def test_structural_similarity_by_hand():
    """At one voxel, from weights written out; what is outside the mask must not count."""
    rng = np.random.default_rng(0)
    mask = rng.random((14, 13, 3)) < 0.9
    mask[6, 7, 1] = True
    a, b = (rng.random(mask.shape).astype(np.float32) for _ in range(2))
    x, y = np.indices(mask.shape[:2]) - np.array([6, 7])[:, None, None]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.5**2)) * mask[..., 1]
    weights *= (np.abs(x) <= 5) & (np.abs(y) <= 5)
    weights /= weights.sum()
    ma, mb = np.sum(weights * a[..., 1]), np.sum(weights * b[..., 1])
    va, vb = np.sum(weights * a[..., 1] ** 2) - ma**2, np.sum(weights * b[..., 1] ** 2) - mb**2
    cov = np.sum(weights * a[..., 1] * b[..., 1]) - ma * mb
    c1, c2 = 0.02**2, 0.06**2
    expected = ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    found = metrics.Similarity(b[mask], mask, 2, 2.0)
    position = np.flatnonzero((np.argwhere(mask) == (6, 7, 1)).all(axis=1))[0]
    assert found(a[mask])[position] == pytest.approx(expected, abs=1e-5)
    several = found.__class__(np.stack([b[mask]] * 2, axis=1), mask, 2, 2.0)
    both = several(np.stack([a[mask], b[mask]], axis=1))
    assert both[position, 0] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(both[:, 1], 1, atol=1e-5)


def test_peak_signal_to_noise():
    assert metrics.psnr(0.1, np.array([0.5, 2.0])) == pytest.approx(20 * np.log10(20))
    assert metrics.psnr(0.0, np.array([1.0])) == np.inf


def test_axes_have_no_sign():
    a = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    b = np.array([[-1.0, 0, 0], [0, np.sqrt(0.5), np.sqrt(0.5)], [1, 0, 0]])
    np.testing.assert_allclose(metrics.axis_angles(a, b), [0, 45, 90], atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_spectra_tell_noise_smoothness_and_checkerboards(axis):
    rng = np.random.default_rng(axis)
    mask = np.ones((28, 32, 30), bool)
    mask[:2] = False
    noise = 0.3 * rng.standard_normal((int(mask.sum()), 2)).astype(np.float32)
    white = spectra.spectrum(noise, mask, axis)
    assert white.power.mean() == pytest.approx(0.09, rel=0.02)
    assert white.fine == pytest.approx(0.09, rel=0.03)
    # The first ring has little but the mean, which was taken off.
    np.testing.assert_allclose(white.profile[2:], 0.09, rtol=0.15)
    assert white.checkerboard == pytest.approx(1, abs=0.3)
    stripes = (-1.0) ** np.nonzero(mask)[(axis + 1) % 3][:, None]
    assert spectra.spectrum(noise + 0.1 * stripes, mask, axis).checkerboard > 5
    volume = np.zeros((*mask.shape, 2), np.float32)
    volume[mask] = noise
    axes = [i for i in range(3) if i != axis]
    smooth = sum(np.roll(volume, s, a) for a in axes for s in (-1, 0, 1)) / 6
    assert spectra.spectrum(smooth[mask], mask, axis).fine < 0.3 * white.fine


def test_dots_are_counted_outside():
    volume, outside = np.zeros((4, 4, 2, 3)), np.zeros((4, 4, 2), bool)
    outside[0] = True
    volume[0, 0, 0, 0] = volume[3, 3, 1, 1] = 1.0
    assert spectra.dots(volume, outside, 0.5) == pytest.approx(100 / 24)
    assert np.isnan(spectra.dots(volume, outside & False, 0.5))


def test_the_noise_level_is_found(scan):
    b0s = scan.acquired.gtab.b0s_mask
    sigma, _ = noise.from_truth(scan.acquired.signal, scan.clean, b0s)
    assert sigma == pytest.approx(SIGMA, rel=0.02)
    sigma, source = noise.from_scan(scan.acquired.signal, scan.acquired.gtab)
    assert sigma == pytest.approx(SIGMA, rel=0.07) and source


# The protocol


@pytest.fixture(scope="module")
def scan():
    """2 × 1500 voxels of two crossing tensors or of none, 4 b0s, 16 and then 40 directions, with
    complex noise."""
    rng = np.random.default_rng(0)
    directions = direction_set(56)
    gtab = GradientTable(np.r_[np.full(4, 5.0), np.full(56, 1000.0)],
                         np.concatenate([directions[:4], directions]))
    shape = (20, 30, 5)
    fibres = rng.standard_normal((2, 3000, 3))
    fibres /= np.linalg.norm(fibres, axis=-1, keepdims=True)
    cosines = (fibres @ gtab.bvecs.T) ** 2
    share = rng.uniform(0, 1, (3000, 1))
    sticks = share * np.exp(-gtab.bvals / 1000 * (0.4 + 1.3 * cosines[0]))
    sticks += (1 - share) * np.exp(-gtab.bvals / 1000 * (0.4 + 1.3 * cosines[1]))
    tissue = np.where(np.arange(3000) < 1500, 4, 2)
    clean = np.where(tissue[:, None] == 4, sticks, np.exp(-gtab.bvals / 1000 * 0.8))
    signal = np.abs(clean + SIGMA * (rng.standard_normal(clean.shape)
                                     + 1j * rng.standard_normal(clean.shape)))
    clean, signal = clean.astype(np.float32), signal.astype(np.float32)
    acquired = baselines.Acquired(signal, gtab, np.ones(shape, bool), np.full(3, 2.0))
    found = regions.from_tissue(tissue)
    found["border"] = regions.border(found, np.ones(shape, bool))
    return Scan("sub", acquired, clean, 4, SIGMA, "known", found, "known",
                {"all acquired": fit_maps([signal], gtab), "noise-free": fit_maps([clean], gtab)},
                np.diag([-2.0, 2, 2, 1]), 0.0)


@pytest.fixture(scope="module")
def split(scan):
    targets = np.arange(16, 56)
    return Split(np.arange(16), targets, scan.acquired.gtab[4 + targets])


def judged(scan, split, networks):
    """Value by (quantity, against, region, method)."""
    rows = judge(scan, split, networks, [baselines.tensor()], np.arange(3000) < 5).rows
    found = {tuple(row[:4]): row.value for row in rows}
    assert len(found) == len(rows)
    return found


def judged_whole(scan, split, networks):
    return judge(scan, split, networks, [baselines.tensor()], np.arange(3000) < 5)


def test_perfect_prediction_leaves_the_noise_alone(scan, split):
    found = judged(scan, split, scan.clean[:, 4 + split.targets])
    assert found["DWI RMSE", "noise-free", "brain", NETWORKS] == 0
    assert found["DWI RMSE/sigma", "measured", "brain", NETWORKS] == pytest.approx(1, abs=0.02)
    assert found["DWI excess/sigma", "measured", "brain", NETWORKS] < 0.2
    better = found["FA RMSE", "noise-free", "brain", NETWORKS]
    assert better < found["FA RMSE", "noise-free", "brain", ALL]
    assert better == found["FA RMSE", "noise-free", "brain", PERFECT]
    assert found["FA RMSE", "noise-free", "brain", ALL] \
        < found["FA RMSE", "noise-free", "brain", INPUTS]
    # What the shared noise leaves to perfect synthesis, and never less.
    assert 0.5 < found["R", WITH_TARGETS, "brain", NETWORKS] < 0.9


def test_tensor_interpolation_adds_nothing_to_its_own_fit(scan, split):
    found = judged(scan, split, scan.clean[:, 4 + split.targets])
    for region in ("brain", "WM", "GM"):
        assert found["R", WITH_TARGETS, region, "tensor"] \
            == pytest.approx(1, abs=1e-3)


def test_a_leaked_target_shows(scan, split):
    found = judged(scan, split, scan.acquired.signal[:, 4 + split.targets])
    assert found["R", WITH_TARGETS, "brain", NETWORKS] == 0
    assert found["DWI RMSE", "measured", "brain", NETWORKS] == 0
    assert found["FA RMSE", "all acquired", "brain", NETWORKS] == 0


def test_perfect_prediction_is_nearer_to_an_independent_reference(scan, split):
    """Its noise is not shared: a leaked target cannot win here, a perfect one must."""
    found = judged(scan, split, scan.clean[:, 4 + split.targets])
    leaked = judged(scan, split, scan.acquired.signal[:, 4 + split.targets])
    # In white matter: in grey, the reference's own noise lifts its FA as much as the inputs' does.
    key = "FA RMSE", INDEPENDENT, "WM"
    assert found[*key, NETWORKS] < found[*key, INPUTS]
    assert leaked[*key, NETWORKS] == found[*key, "more"]


def test_the_limit_of_r(scan, split):
    """Of perfect synthesis, by the truth and simulated on the fit; and of a perfect map."""
    found = judged(scan, split, scan.clean[:, 4 + split.targets])
    limit = found["R", WITH_TARGETS, "brain", PERFECT]
    assert limit == found["R", WITH_TARGETS, "brain", NETWORKS]
    assert found["R", WITH_TARGETS, "brain", TRUE_MAP] > limit
    bare = scan._replace(clean=None, references={"all acquired": scan.references["all acquired"]})
    found = judged(bare, split, scan.clean[:, 4 + split.targets])
    assert found["R", WITH_TARGETS, "brain", SIMULATED] == pytest.approx(limit, abs=0.06)


def test_orientation_and_diffusivities_of_the_truth_are_its_own(scan, split):
    found = judged(scan, split, scan.clean[:, 4 + split.targets])
    for quantity in ("MD", "AD", "RD"):
        assert found[f"{quantity} RMSE", "noise-free", "brain", PERFECT] \
            < found[f"{quantity} RMSE", "noise-free", "brain", INPUTS]
    angles = [found["V1 angle", "noise-free", "WM", m] for m in (PERFECT, ALL, INPUTS)]
    assert angles == sorted(angles) and 0 < angles[0] < angles[2] < 45


def test_table_1_by_hand(scan, split):
    """The 40 outputs, one slice: 0.1 too large everywhere."""
    measured = scan.acquired.signal[:, 4 + split.targets]
    found = judged_whole(scan, split, measured + np.float32(0.1))
    rows = [r for r in found.slices if r.method == NETWORKS]
    assert {r.slice for r in rows} == set(range(5))
    dwi = scan.acquired.signal[:, 4:20]
    expected = 0.1 / np.percentile(dwi, 99.9)
    for row in rows:
        if row.comparison == "outputs vs measured DWIs":
            assert row.value == pytest.approx(expected, rel=1e-3)
    leaked = judged_whole(scan, split, measured)
    assert all(r.value == 0 for r in leaked.slices
               if r.method == NETWORKS and r.comparison != "prediction vs 32 GTFA")
    np.testing.assert_allclose(found.directions[NETWORKS], 0.1, rtol=1e-4)


def test_the_slices_of_he_et_al():
    """149 subjects of HCP's size give the abstract's numbers of slices."""
    config = he2020.get_config()
    names = [f"{i:03d}" for i in range(149)]
    parts = subject_split(names, tuple(config.data.split), config.seed)
    assert [len(part) for part in parts] == [122, 14, 13]
    cohort = limited(Cohort(*([Member(n, None) for n in part] for part in parts), False),
                     config.data.slices)
    brain = np.zeros((4, 4, 145), bool)
    brain[:, :, 12:128] = True
    train, validation = ([brain_slices(m, brain, 2) for m in part] for part in cohort[:2])
    assert sum(map(len, train)) == 1710 and sum(map(len, validation)) == 854
    assert {len(found) for found in train} == {14, 15}
    central = central_slices(np.arange(12, 128))
    np.testing.assert_array_equal(central, np.arange(39, 100))
    assert len(central) * len(parts[2]) == 793
    for found in (*train, *validation):  # evenly spaced, none twice
        assert set(found) <= set(central) and np.ptp(np.diff(found)) <= 1
        assert abs(found.mean() - central.mean()) < 1
    np.testing.assert_array_equal(central_slices(np.arange(5)), np.arange(5))
    np.testing.assert_array_equal(brain_slices(Member("", None, 3), brain[..., :14], 2), [12, 13])


def test_errors_are_counted_by_region(scan, split):
    networks = scan.clean[:, 4 + split.targets].copy()
    networks[scan.regions["WM"]] += 0.1
    found = judged(scan, split, networks)
    assert found["DWI RMSE", "noise-free", "WM", NETWORKS] == pytest.approx(0.1, rel=1e-5)
    assert found["DWI RMSE", "noise-free", "GM", NETWORKS] == 0
    assert np.isnan(found["DWI RMSE", "noise-free", "CSF", NETWORKS])


def test_without_a_truth_that_part_is_left_out(scan, split):
    bare = scan._replace(clean=None, references={"all acquired": scan.references["all acquired"]})
    found = judged(bare, split, scan.clean[:, 4 + split.targets])
    assert {key[1] for key in found} == {"measured", "all acquired", WITH_TARGETS, INPUTS_ALONE,
                                         INDEPENDENT, "itself", "subject"}
    assert PERFECT not in {key[3] for key in found}


# Tables and figures


def test_tables_line_up_and_say_what_is_missing():
    records = [tables.Record("test", s, "DWI RMSE", "measured", "brain", m, v)
               for s, m, v in (("a", "networks", 0.9), ("a", "sh", 1.0),
                               ("b", "networks", 1.9), ("b", "sh", 2.0))]
    results = tables.Results(records)
    key = "test", "DWI RMSE", "measured", "brain"
    assert tables.mean_sd(results.estimate(*key, "sh"), 1) == "1.5 ± 0.7"
    assert tables.mean(results.estimate(*key, "tensor")) == tables.DASH
    difference, percent = results.paired((*key, "networks"), (*key, "sh"))
    assert difference.mean == pytest.approx(-0.1) and percent.mean == pytest.approx(-7.5)
    table = tables.Table("Title", ["a", "b"], [["x", "1.0"], ["long", "–"]], ["note"])
    assert table.text().splitlines() == ["Title", "a       b", "----  ---", "x     1.0",
                                         "long    –", "note"]
    assert "| long | – |" in table.markdown()


def test_pictures_are_drawn_as_radiologists_look_at_them(scan):
    view = figures.middle_slice(scan, 2)
    position = np.array(np.nonzero(scan.acquired.mask))[:, view.voxels]
    # LAS: the first axis runs to the left, which radiologists have on their right.
    across = view.picture(position[0].astype(np.float32))
    up = view.picture(position[1].astype(np.float32))
    assert (np.diff(across, axis=1)[1:-1, 1:-1] > 0).all()
    assert (np.diff(up, axis=0)[1:-1, 1:-1] > 0).all()  # drawn from below
    assert view.sides == ("R", "L") and np.isnan(across[0]).all()
    assert view.ratio == pytest.approx(32 / 22)


# From a run's folder to its report


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
        config.data.layout, config.data.root = layout, str(phantom)
        scan, _ = read_scan(Member(files[0], None), _shell(files[0]), shell=1000, axis=2)
        gtab = scan.acquired.gtab[2:]
        subjects = {"train": ["other"], "validation": [], "test": [],
                    "within_subject": cohort.within_subject}
        run = Run(config, gtab, np.arange(16), np.arange(16, 24), None, None, None,
                  {"config": {}, "versions": {}, "table": {"b0s": 2, "inputs": 16},
                   "subjects": subjects | {"origin": ""},
                   "normalisation": {"training_scales": {}, "whitening": None}})
        monkeypatch.setattr(report, "load_run", lambda _: run)
        monkeypatch.setattr(report, "read_cohort", lambda _: cohort)
        monkeypatch.setattr(report, "shifted_members", lambda root, **_: list(shifted))
        monkeypatch.setattr(report, "synthesise",
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
    results = report.evaluate(tmp_path, baseline_set="quick")
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
    report.evaluate(tmp_path, baseline_set="quick")
    printed = capsys.readouterr().out.replace("0.048 ± 0.0034", "")  # the paper's own number
    printed = printed.replace("± 1.96 SD", "")  # limits of agreement, over voxels
    assert "WITHIN SUBJECT" in printed and "±" not in printed and "generator" not in printed
    assert printed.count("(within subject)") == 6 and "p, t-test" not in printed
    with (tmp_path / "tables" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["note"] for row in rows} == {"within subject"}
    assert {row["ci95_low"] for row in rows} == {""}


def test_only_the_slab_counts(pretend):
    files, _ = pretend
    scan, subject = read_scan(Member(files[0], np.array([5, 6])), _shell(files[0]), shell=1000,
                              axis=2)
    inside = scan.volume(scan.regions["brain"])
    assert set(np.nonzero(inside)[2]) == {5, 6}
    assert inside.sum() == subject.mask[:, :, [5, 6]].sum()


def test_a_bad_subject_leaves_nothing_behind(pretend, tmp_path, monkeypatch):
    files, install = pretend
    members = [Member(f, None) for f in files]
    install("hcp", Cohort([], members[:1], members[1:], False))

    def read(member, *args, **kwargs):
        if member is members[2]:
            raise InputError("bvecs", found="a", expected="b", remedy="c")
        return read_scan(member, *args, **kwargs)

    monkeypatch.setattr(report, "read_scan", read)
    with pytest.raises(InputError, match="bvecs"):
        report.evaluate(tmp_path, baseline_set="quick", quiet=True)
    assert not list(tmp_path.iterdir())


def test_test_subjects_seen_in_training_are_refused(pretend, tmp_path):
    files, install = pretend
    members = [Member(f, None) for f in files]
    install("phantom", Cohort([], members[:1], members[1:], False))
    run = report.load_run("")  # the pretended one
    run.about["subjects"]["train"].append(files[2].name)
    with pytest.raises(InputError, match=files[2].name):
        report.evaluate(tmp_path, baseline_set="quick", quiet=True)
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

    monkeypatch.setattr(report, "read_scan", read)
    report.load_run("").about["subjects"]["made_like"] = [identity(load_subject(files[1]))]
    results = report.evaluate(tmp_path, baseline_set="quick")
    printed = capsys.readouterr().out
    assert f"SAME SCAN: training subjects were made like {files[1].name};" in printed
    assert printed.count("(same scan)") == 7  # in every table's title
    missing = printed[printed.index("Not made:"):]
    assert "tuned baselines: there are no validation subjects" in missing
    assert "bvecs: found 16 directions" in missing
    assert results.methods("test subjects", "DWI RMSE", "measured") == [
        NETWORKS, "tensor", "sh2", "sh4", "sh6"]
    assert {r.subject for r in results.records} == {files[1].name}

    install("hcp", Cohort([], [], members[2:], False))
    with pytest.raises(InputError, match="16 directions"):
        report.evaluate(tmp_path / "other", baseline_set="quick")
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
    scan, subject = read_scan(Member(files[0], None), _shell(files[0]), shell=1000, axis=2)
    fa = np.asarray(nib.load(files[0].truth / "fa.nii.gz").dataobj)[subject.mask]
    assert np.abs(scan.references["noise-free"].fa - fa).mean() < 0.01
