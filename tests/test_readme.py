"""The README's commands are ones that exist, and its examples work."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.baselines import Acquired
from dwijax.data.layouts import find_subjects
from dwijax.gradients import GradientTable, write_gradients
from dwijax.models.stack import functional, network_keys, stack
from dwijax.training.losses import squared_error
from tests.tiny_run import GTAB, write_tiny_run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [line.split("  #")[0].strip()
         for block in re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
         for line in block.splitlines() if line.strip()]


def words_of(line):
    return shlex.split(line.removeprefix("srun "))


def kind(line):
    """What stands for a line: a sub-command, a script, or what ``.ci/run`` runs as it is."""
    words = words_of(line)
    if words[0] == "dwijax":
        return "dwijax"
    return words[1] if words[0] == "python" else "fresh environment"


def test_every_line_is_of_a_kind_that_is_tested():
    assert {kind(line) for line in LINES} == {
        "dwijax", "train.py", "eval.py", "fresh environment"}
    fresh = [line for line in LINES if kind(line) == "fresh environment"]
    marked = re.findall(r"^<!-- ci: (\w+) -->\n```sh\n(.*?)\n```", README, re.M | re.S)
    assert fresh == [line for _, line in marked]
    runner = (ROOT / ".ci" / "run").read_text()
    assert all(f"$(line {name})" in runner for name, _ in marked)


# Every line in a process of its own, forked after the slow imports.
PARSE = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from absl import flags
from dwijax.training import settings
for words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        sys.argv = words  # where ml_collections looks for overrides, at its import too
        try:
            import {script} as script
            rest = flags.FLAGS(words)
            if "{script}" == "train":
                assert len(rest) == 1, rest
                settings.check(script.CONFIG.value)
        except BaseException as error:  # flags leave by SystemExit
            print(words, type(error).__name__, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("script", ["train", "eval"])
def test_lines_of_scripts_are_taken_by_their_flags(script):
    lines = [words_of(line)[1:] for line in LINES if kind(line) == f"{script}.py"]
    lines += [shlex.split(line)[1:] for line in
              re.findall(rf"`(python {script}\.py[^`]*)`", README)]
    assert len(lines) >= 2

    def refused(lines):
        code = [sys.executable, "-c", PARSE.format(script=script), json.dumps(lines)]
        done = subprocess.run(code, capture_output=True, text=True, check=True, cwd=ROOT)
        return done.stdout.splitlines()

    wrong = [f"{script}.py", "--nonsense"]
    found = refused([*lines, wrong])
    assert len(found) == 1 and "nonsense" in found[0], found


def test_other_programs_in_the_text_are_there():
    found = re.findall(r"`python (?:-m ([\w.]+)|(benchmarks/\w+\.py))", README)
    assert found
    for module, script in found:
        assert (ROOT / script).is_file() if script else importlib.util.find_spec(module), module
    for name in re.findall(r"`((?:dwijax|configs|benchmarks|tests)/[\w/]+\.(?:py|md))", README):
        written = [m[1] for m in re.finditer(r"# (dwijax/[\w/]+\.py)$", README, re.M)]
        assert (ROOT / name).is_file() or name in written, name


def test_lines_of_the_command_run_in_order(tmp_path, monkeypatch, capsys):
    """On a simulated scan, with a run that nobody trained; /data and /scratch are folders here."""
    monkeypatch.chdir(tmp_path)
    table = GradientTable(np.r_[0.0, 0.0, GTAB.bvals], np.r_[np.zeros((2, 3)), GTAB.bvecs])
    write_gradients(table, tmp_path / "b", tmp_path / "g")
    assert cli.main(["simulate", "data/hcp", "--subjects", "4", "--workers", "1", "--shape", "16",
                     "20", "8", "--voxel-size", "6", "--bvals", "b", "--bvecs", "g",
                     "--quiet"]) == 0
    files = find_subjects(tmp_path / "data" / "hcp", "hcp")[0]
    for source, name in ((files.dwi, "dwi.nii.gz"), (files.bval, "dwi.bval"),
                         (files.bvec, "dwi.bvec"), (files.mask, "mask.nii.gz"),
                         (files.mask, "callosum.nii.gz")):
        shutil.copy(source, tmp_path / name)
    for name in ("mine", "he2020"):
        write_tiny_run(tmp_path / "runs" / name)
    lines = [line for line in LINES if kind(line) == "dwijax"]
    assert {words_of(line)[1] for line in lines} == {
        "check", "fit", "predict", "track", "prepare", "export"}
    for line in lines:
        words = [re.sub("^/(data|scratch)/", r"\1/", word) for word in words_of(line)[1:]]
        status = cli.main(words)
        assert status == 0 or (words[0] == "check" and status == 1), (line, capsys.readouterr())
    for name in ("check.md", "check.png", "dti/fa.nii.gz", "longer/report.html", "callosum.tck",
                 "mine.dwijax", "handed/dwi.json", "scratch/hcp/store.json", "hcp.dwijax"):
        assert (tmp_path / name).is_file(), name
    assert nib.load(tmp_path / "longer" / "dwi.nii.gz").shape[3] == 12


def example(name, **names):
    """What the README's example of a name defines."""
    code = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", README, re.S)[1]
    exec(code, names)
    return names


@pytest.mark.parametrize("what", ["model", "loss", "baseline"])
def test_how_to_add_is_short(what):
    section = re.search(rf"^### A {what} of your own\n(.*?)(?=^##)", README, re.M | re.S)[1]
    assert len(section.strip().splitlines()) <= 20


def test_a_model_as_the_readme_has_it():
    plain = example("model")["Plain"]
    network = functional(lambda rngs: plain(3, 1, width=4, rngs=rngs))
    lifted = stack(network)
    params = lifted.init(network_keys(jax.random.key(0), np.arange(2)))
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    y, pull_back = jax.vjp(lambda p: lifted.apply(p, x), params)
    assert y.shape == (2, 2, 8, 8, 1)
    assert all(jnp.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(pull_back(y)))
    alone = network.apply(jax.tree.map(lambda a: a[1], params), x)
    np.testing.assert_allclose(y[1], alone, atol=1e-5)


def test_a_loss_as_the_readme_has_it():
    huber = example("loss", jnp=jnp)["pseudo_huber"]
    rng = np.random.default_rng(0)
    target, error = rng.normal(size=(2, 3, 4, 4, 2))
    weight = rng.uniform(size=(3, 4, 4, 1))
    small, large = (huber(target + scale * error, target, weight) for scale in (1e-3, 1e3))
    np.testing.assert_allclose(
        small, squared_error(target + 1e-3 * error, target, weight) / 2, rtol=1e-3)
    np.testing.assert_allclose(large, 1e3 * 0.05 * np.sum(weight * np.abs(error)) / 2, rtol=1e-3)
    parts = [huber(target[i:i + 1], target[:1], weight[:1]) for i in range(3)]
    whole = huber(target, np.repeat(target[:1], 3, 0), np.repeat(weight[:1], 3, 0))
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-5)


def test_a_baseline_as_the_readme_has_it():
    baseline = example("baseline")["nearest"]()
    rng = np.random.default_rng(0)
    table = GradientTable(np.r_[0.0, GTAB.bvals], np.r_[np.zeros((1, 3)), GTAB.bvecs])
    acquired = Acquired(rng.uniform(size=(5, 9)).astype(np.float32), table,
                        np.ones((5, 1, 1), bool), np.ones(3))
    order = rng.permutation(8)
    turned = GradientTable(GTAB.bvals[order], -GTAB.bvecs[order])
    np.testing.assert_array_equal(baseline.predict(acquired, turned),
                                  acquired.signal[:, 1:][:, order])
