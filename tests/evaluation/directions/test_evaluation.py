"""The protocol on arrays with known answers."""

import numpy as np
import pytest

from configs import he2020
from dwijax import baselines
from dwijax.data.cohort import Cohort, Member, brain_slices, central_slices, limited
from dwijax.data.split import subject_split
from dwijax.errors import InputError
from dwijax.evaluation.common import figures, noise, regions
from dwijax.evaluation.common.noise import NoiseLevel
from dwijax.evaluation.common.results import ALL
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.directions.protocol import Split, judge
from dwijax.evaluation.directions.rows import (
    INDEPENDENT,
    INPUTS,
    INPUTS_ALONE,
    NETWORKS,
    PERFECT,
    SIMULATED,
    TRUE_MAP,
    WITH_TARGETS,
)
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set

SIGMA = 0.04

def test_the_noise_level_is_found(scan):
    b0s = scan.acquired.gtab.b0s_mask
    sigma, _ = noise.from_truth(scan.acquired.signal, scan.clean, b0s)
    assert sigma == pytest.approx(SIGMA, rel=0.02)
    sigma, source = noise.from_scan(scan.acquired.signal, scan.acquired.gtab)
    assert sigma == pytest.approx(SIGMA, rel=0.07) and source


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
    return JudgedScan("sub", acquired, clean, NoiseLevel(SIGMA, "known"), found, "known",
                {"all acquired": fit_maps([signal], gtab), "noise-free": fit_maps([clean], gtab)},
                np.diag([-2.0, 2, 2, 1]), 0.0)


@pytest.fixture(scope="module")
def split(scan):
    targets = np.arange(16, 56)
    return Split(np.arange(16), targets, scan.acquired.gtab[4 + targets])


def judged(scan, split, networks):
    """Value by (quantity, against, region, method)."""
    rows = judged_whole(scan, split, networks).rows
    found = {tuple(row[:4]): row.value for row in rows}
    assert len(found) == len(rows)
    return found


def judged_whole(scan, split, networks):
    """``networks``: what they predict, ``[V, K]``."""
    predictors = [baselines.Predictor(NETWORKS, "networks", "networks", lambda *_: networks,
                                      gtab=split.gtab), baselines.tensor()]
    return judge(scan, split, predictors, np.arange(3000) < 5)


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
    whole = Cohort(*([Member(n, None) for n in part] for part in parts), False)
    cohort = limited(whole, config.data.subjects, config.data.slices)
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
    assert limited(whole, 9, ()) == whole._replace(train=whole.train[:9])
    with pytest.raises(InputError, match=r"found 123.*at most 122"):
        limited(whole, 123, ())


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
