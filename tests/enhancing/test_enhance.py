"""One scan made better, and the judges of it."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from configs.any_table import get_config
from dwijax.baselines import Predictor, acquired
from dwijax.data.files import SubjectFiles
from dwijax.data.phantom import make_settings, simulate_subject
from dwijax.data.subject import load_subject
from dwijax.enhancing.intervals import LEVELS, intervals
from dwijax.enhancing.judging import HeldBack, Simulated, hold_back
from dwijax.enhancing.measured import measured_share
from dwijax.enhancing.mixing import classical, longer, mixing_weights, mixture
from dwijax.enhancing.verdict import BETTER, SAME, WORSE, decide, shift_in_words
from dwijax.fitting.voxels import Maps, fit_maps
from dwijax.gradients import GradientTable, direction_set, write_gradients
from dwijax.inference import load_run
from tests.tiny_run import write_tiny_run

SHAPE = (22, 26, 6)


@pytest.fixture(scope="module")
def made():
    # The smallest head with all tissues.
    return simulate_subject(make_settings(
        shape=SHAPE, voxel_size=5.0, n_directions=12, b0s=2, snr=15.0), 0)


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """As a scanner's software leaves it: LPS-stored, a code and a unit of its own."""
    folder = tmp_path_factory.mktemp("scan")
    image = nib.Nifti1Image(np.float32(made.dwi), made.affine)
    image.set_sform(made.affine, 1)
    nib.save(image, folder / "dwi.nii.gz")
    nib.save(nib.Nifti1Image(made.mask.astype(np.uint8), made.affine), folder / "mask.nii.gz")
    write_gradients(made.gtab, folder / "dwi.bval", folder / "dwi.bvec")
    return SubjectFiles("scan", *(folder / name for name in (
        "dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz")))


@pytest.fixture(scope="module")
def given(files):
    return acquired(load_subject(files))


def constant(name, value):
    return Predictor(name, name, name, lambda given, wanted: np.full(
        (len(given.signal), len(wanted)), value, np.float32))


def test_a_poisoned_network_gets_no_weight(given):
    ways = classical(given)
    weights = mixing_weights([constant("network", 5.0), *ways], given)
    assert weights[0] == 0 and weights.sum() == pytest.approx(1) and (weights >= 0).all()


def test_whoever_knows_gets_all(given):
    """One that looks the measured value up by its direction."""
    dwis = given.gtab.dwis
    table, signal = given.gtab[dwis], given.signal[:, dwis]

    def look_up(part, wanted):
        found = np.abs(wanted.bvecs @ table.bvecs.T).argmax(axis=1)
        return signal[:, found]

    ways = classical(given)
    weights = mixing_weights([Predictor("knows", "knows", "knows", look_up), *ways], given)
    assert weights[0] > 0.98
    best = mixture(ways, np.eye(len(ways))[1])
    wanted = table[:3]
    np.testing.assert_allclose(best.predict(given, wanted), ways[1].predict(given, wanted),
                               rtol=1e-6)


@pytest.mark.parametrize("count", [8, 12, 30, 33])
def test_what_is_held_back_is_in_no_other_part(count):
    table = table_of(direction_set(count))
    kept, held = hold_back(table)
    assert len(held) == max(2, count // 5)
    np.testing.assert_array_equal(np.sort(np.r_[kept, held]), np.arange(count))


def table_of(bvecs):
    return GradientTable(np.full(len(bvecs), 1000.0), bvecs)


def test_nothing_of_what_is_held_back_is_looked_at(given):
    """Held-back volumes of NaN: what is tuned, weighted and fitted is to the bit the same."""
    dwis = given.gtab.dwis
    kept, held = hold_back(given.gtab[dwis])
    spoilt = given.signal.copy()
    spoilt[:, dwis[held]] = np.nan
    found = []
    for signal in (given.signal, spoilt):
        shown = given._replace(signal=signal).inputs(kept)
        ways = classical(shown)
        found.append((mixing_weights(ways, shown), [way.label for way in ways]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def held(enhanced, classical, voxels=4000):
    rng = np.random.default_rng(0)
    noise = rng.chisquare(4, voxels) / 4
    regions = dict.fromkeys(("brain", "WM", "GM"), np.ones(voxels, bool))
    return HeldBack(4, {}, {"tensor": 1.3 * noise, "sh4": classical * noise,
                        "enhanced": enhanced * noise}, regions, np.arange(voxels) // 200)


def maps(fa):
    fa = np.asarray(fa, np.float32)
    return Maps(fa, fa, np.zeros((len(fa), 6), np.float32), fa, np.ones(len(fa), bool))


def twin(plain, enhanced):
    truth = np.random.default_rng(1).uniform(0.1, 0.8, 4000)
    noise = np.random.default_rng(2).standard_normal(4000)
    regions = dict.fromkeys(("brain", "WM", "GM"), np.ones(4000, bool))
    return Simulated(maps(truth + plain * noise), maps(truth + enhanced * noise), maps(truth),
                     regions)


@pytest.mark.parametrize("enhanced, classical, plain, added, verdict", [
    (0.8, 1.0, 0.05, 0.03, BETTER),
    (0.8, 1.0, 0.03, 0.05, WORSE),  # the twin's FA
    (1.2, 1.0, 0.05, 0.03, WORSE),  # the best classical way
    (1.3, 1.3, 0.05, 0.03, SAME),  # the tensor fit's own predictions
])
def test_verdicts(enhanced, classical, plain, added, verdict):
    found = decide(held(enhanced, classical), twin(plain, added), classical=["tensor", "sh4"],
                   shift={"WM": 0.0})
    assert found.verdict == verdict == found.facts["verdict"]
    assert found.sentence.startswith(verdict.capitalize())
    assert json.loads(json.dumps(found.facts))["held_back"]["best_classical"] == "sh4" or (
        verdict == SAME)


def test_too_few_to_hold_back_are_judged_by_simulation():
    found = decide(None, twin(0.05, 0.03), classical=[], shift={"WM": 0.0})
    assert found.verdict == BETTER and found.facts["judged_by"] == "simulation"
    assert "simulation alone" in found.sentence


def test_a_large_shift_is_told():
    assert "0.030 lower" in shift_in_words({"WM": -0.03})
    assert shift_in_words({"WM": 0.019}) is None


def test_intervals_cover_what_they_say():
    """Errors that grow with FA, in another draw of the same kind."""
    def draw(seed):
        rng = np.random.default_rng(seed)
        truth = rng.uniform(0.1, 0.7, 60_000)
        return truth, np.float32(truth + (0.01 + 0.1 * truth) * rng.standard_normal(len(truth)))

    truth, fa = draw(0)
    regions = {"brain": np.ones(len(fa), bool)}
    of = intervals(Simulated(maps(fa), maps(fa), maps(truth), regions), fa)
    truth, fa = draw(1)
    found = intervals(Simulated(maps(fa), maps(fa), maps(truth), regions), fa)
    for i, level in enumerate(LEVELS):
        inside = (of.low[:, i] <= draw(0)[0]) & (draw(0)[0] <= of.high[:, i])
        assert inside.mean() == pytest.approx(level, abs=0.015)
        inside = (found.low[:, i] <= truth) & (truth <= found.high[:, i])
        high = fa > np.quantile(fa, 0.8)
        assert inside[high].mean() == pytest.approx(level, abs=0.03)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_run(tmp_path_factory.mktemp("run") / "any", config=get_config("smoke"))


def enhanced(dwijax, files, out, *options):
    return dwijax("enhance", str(files.dwi), "--bvals", str(files.bval), "--bvecs",
                  str(files.bvec), "--mask", str(files.mask), "-o", str(out), "--json", *options)


def test_how_much_is_measured(given, files):
    """What copies the tensor follows it; a constant that outweighs the scan does not."""
    subject = load_subject(files)
    plain = fit_maps([given.signal], given.gtab)
    wanted = GradientTable(np.full(60, 1000.0), direction_set(60))
    sigma = np.full(subject.mask.shape, 0.05)
    found = {}
    for name, way in (("tensor", classical(given)[0]), ("constant", constant("constant", 0.5))):
        both = longer(given.gtab, wanted)
        enhanced = fit_maps([given.signal, way.predict(given, wanted)], both)
        found[name] = measured_share(subject, sigma, wanted, way, plain, enhanced)
    assert np.median(found["tensor"]) > 0.85 and np.median(found["constant"]) < 0.5
    assert all(share.min() >= 0 and share.max() <= 1 for share in found.values())


def test_one_command(dwijax, files, tiny, tmp_path):
    """A network of random numbers: it gets no weight, and the answer is still one."""
    said = enhanced(dwijax, files, tmp_path / "out", "--run", str(tiny), "--seconds", "0",
                    "--add", "8", "--keep-anyway")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["weights"]["network"] == 0 and found["adaptation_steps"] == 0
    assert found["verdict"] in (BETTER, SAME, WORSE) and found["kept"]
    assert found["held_back"]["directions"] == 2
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["verdict"] == found[
        "verdict"]
    source, longer = nib.load(files.dwi), nib.load(tmp_path / "out" / "dwi.nii.gz")
    n = source.shape[3]
    assert longer.shape == (*source.shape[:3], n + 8)
    np.testing.assert_array_equal(longer.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(longer.dataobj)[..., :n], source.get_fdata())
    fa, low, high, cone = (nib.load(tmp_path / "out" / f"{name}.nii.gz") for name in (
        "fa", "fa_low", "fa_high", "v1_cone"))
    np.testing.assert_array_equal(low.affine, source.affine)
    mask = nib.load(files.mask).get_fdata() > 0
    low, high, cone = (image.get_fdata()[mask] for image in (low, high, cone))
    assert low.shape[1] == 2 and (low[:, 1] <= low[:, 0]).all() and (high >= low).all()
    assert ((low[:, 1] <= fa.get_fdata()[mask]) & (fa.get_fdata()[mask] <= high[:, 1])).mean() > .9
    assert (cone[:, 1] >= cone[:, 0]).all() and cone.max() <= 90
    assert found["answer"][0].split(":")[1][:40] in (tmp_path / "out" / "report.html").read_text()


def test_the_network_goes_on_learning(dwijax, files, tiny, tmp_path, monkeypatch):
    """Its own kind of subjects, in a folder that is gone afterwards; the same bits again."""
    from dwijax.enhancing import scan

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr(scan, "STEPS_PER_SECOND", 3)
    begun = load_run(tiny)
    found = [enhanced(dwijax, files, tmp_path / out, "--run", str(tiny), "--seconds", "1",
                      "--add", "4") for out in ("a", "b")]
    assert [said.returncode for said in found] == [0, 0], found[0].stderr
    assert not list(scratch.iterdir())
    a, b = (json.loads(said.stdout) for said in found)
    assert a["adaptation_steps"] > 0 and "adapted" in a["held_back"]["rmse"]
    for said in (a, b):
        del said["out"], said["seconds"]
    assert a == b
    for name in ("fa", "fa_low", "v1_cone"):
        assert (tmp_path / "a" / f"{name}.nii.gz").read_bytes() == (
            tmp_path / "b" / f"{name}.nii.gz").read_bytes()
    assert begun.about["config"]["steps"] != a["adaptation_steps"]


def test_what_is_not_better_is_not_written(dwijax, files, tiny, tmp_path, monkeypatch):
    """A network that fills in nonsense and has all the weight."""
    from dwijax.enhancing import scan

    monkeypatch.setattr(scan, "mixing_weights", lambda ways, given: np.eye(len(ways))[0])
    said = enhanced(dwijax, files, tmp_path / "out", "--run", str(tiny), "--seconds", "0")
    found = json.loads(said.stdout)
    assert found["verdict"] == WORSE and not found["kept"] and found["synthetic"] == 0
    source, written = nib.load(files.dwi), nib.load(tmp_path / "out" / "dwi.nii.gz")
    assert written.shape == source.shape
    fitted = dwijax("fit", str(files.dwi), "--bvals", str(files.bval), "--bvecs", str(files.bvec),
                    "--mask", str(files.mask), "-o", str(tmp_path / "fit"))
    assert fitted.returncode == 0
    np.testing.assert_allclose(*(nib.load(tmp_path / out / "fa.nii.gz").get_fdata()
                                 for out in ("out", "fit")), atol=1e-5)


def cut(files, folder, volumes, gains=None, bvals=None):
    """The scan with these volumes, brighter by some gains."""
    folder.mkdir()
    image = nib.load(files.dwi)
    data = image.get_fdata(dtype=np.float32)[..., volumes] * (1 if gains is None else gains)
    nib.save(nib.Nifti1Image(np.float32(data), image.affine, image.header), folder / "dwi.nii.gz")
    b = np.loadtxt(files.bval)[volumes] if bvals is None else bvals
    np.savetxt(folder / "dwi.bval", b[None], fmt="%g")
    np.savetxt(folder / "dwi.bvec", np.loadtxt(files.bvec)[:, volumes])
    return replace(files, dwi=folder / "dwi.nii.gz", bval=folder / "dwi.bval",
                   bvec=folder / "dwi.bvec")


def volumes_of(files, directions):
    b = np.loadtxt(files.bval)
    return np.sort(np.r_[np.flatnonzero(b < 50), np.flatnonzero(b > 50)[:directions]])


def test_seven_directions_are_judged_by_simulation(dwijax, files, tiny, tmp_path):
    short = cut(files, tmp_path / "scan", volumes_of(files, 7))
    said = enhanced(dwijax, short, tmp_path / "out", "--run", str(tiny), "--seconds", "60")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["judged_by"] == "simulation" and found["adaptation_steps"] == 0
    assert found["verdict"] == WORSE  # of random numbers


@pytest.mark.parametrize("case, words", [
    ("five", "5 directions"), ("shells", "--shell"), ("there", "--force"), ("task", "any table")])
def test_what_cannot_be_enhanced_is_refused_in_one_line(dwijax, files, tiny, tiny_run, tmp_path,
                                                        case, words):
    out, run, scan = tmp_path / "out", tiny, files
    if case == "five":
        scan = cut(files, tmp_path / "scan", volumes_of(files, 5))
    elif case == "shells":
        b = np.loadtxt(files.bval)
        b[np.flatnonzero(b > 50)[::2]] = 2000
        scan = cut(files, tmp_path / "scan", np.arange(len(b)), bvals=b)
    elif case == "there":
        out.mkdir()
        (out / "fa.nii.gz").write_bytes(b"mine")
    else:
        run = tiny_run
    before = sorted(path.name for path in tmp_path.rglob("*"))
    said = enhanced(dwijax, scan, out, "--run", str(run), "--seconds", "0")
    assert said.returncode == 2 and words in said.stderr and said.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_odd_volumes_are_left_out_and_made_anew(dwijax, files, tiny, tmp_path):
    gains = np.ones(nib.load(files.dwi).shape[3], np.float32)
    gains[5] = 3.0
    odd = cut(files, tmp_path / "scan", np.arange(len(gains)), gains)
    said = enhanced(dwijax, odd, tmp_path / "out", "--run", str(tiny), "--seconds", "0", "--add",
                    "4", "--keep-anyway", "--replace-bad")
    found = json.loads(said.stdout)
    assert found["left_out_volumes"] == [5] and found["synthetic"] == 5
    bvecs = np.loadtxt(tmp_path / "out" / "dwi.bvec").T
    np.testing.assert_allclose(bvecs[-1], bvecs[5], atol=1e-5)
