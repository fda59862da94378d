"""The documents' commands exist and run, their examples work, and their links lead somewhere."""

import importlib.util
import json
import re
import shlex
import shutil
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest

from configs import any_table, he2020, phantom, superdti
from dwijax import cli
from dwijax.baselines import Acquired
from dwijax.data import channels
from dwijax.data.layouts import find_subjects
from dwijax.data.slices import cut
from dwijax.gradients import GradientTable, write_gradients
from dwijax.models.stack import functional, network_keys, stack
from dwijax.tasks.losses import squared_error
from tests.malformed import data_of, good_scan
from tests.repository.documents import (
    ALL,
    LINES,
    PROSE,
    ROOT,
    TEXTS,
    inline,
    kind,
    refused,
    words_of,
)
from tests.tiny_run import GTAB, write_tiny_run

README, EXTENDING = TEXTS["README.md"], TEXTS["docs/extending.md"]


def test_the_readme_is_a_page():
    assert len(README.splitlines()) <= 150


def test_every_line_is_of_a_kind_that_is_tested():
    assert {kind(line) for line in ALL} == {
        "dwijax", "train.py", "eval.py", "fresh environment", "pytest", "ruff", "bash"}
    marked = re.findall(r"^<!-- ci: (\w+) -->\n```sh\n(.*?)\n```", README, re.M | re.S)
    fresh = [line for line in LINES["README.md"] if kind(line) == "fresh environment"]
    assert fresh == [line for _, line in marked]
    runner = (ROOT / ".ci" / "run").read_text()
    assert all(f"$(line {name})" in runner for name, _ in marked)


def test_a_contributor_sets_up_as_the_readme_says():
    lines = LINES["CONTRIBUTING.md"]
    assert {kind(line) for line in lines} == {"fresh environment", "pytest", "ruff", "bash"}
    assert any(line.startswith(lines[0] + " && pytest") for line in LINES["README.md"])
    for line in lines[1:]:
        assert (ROOT / words_of(line)[-1]).exists(), line


@pytest.mark.parametrize("script", ["train", "eval"])
def test_lines_of_scripts_are_taken_by_their_flags(script):
    lines = [words_of(line)[1:] for line in ALL if kind(line) == f"{script}.py"]
    lines += [shlex.split(line)[1:] for line in inline(rf"python {script}\.py[^`]*")]
    assert len(lines) >= 2
    found = refused(script, [*lines, [f"{script}.py", "--nonsense"]])
    assert len(found) == 1 and "nonsense" in found[0], found


def test_other_programs_and_files_in_the_text_are_there():
    programs = inline(r"python (?:-m [\w.]+|benchmarks/\w+\.py)[^`]*")
    assert programs
    for line in programs:
        words = line.split()
        assert (importlib.util.find_spec(words[2]) if words[1] == "-m"
                else (ROOT / words[1]).is_file()), line
    for name in inline(r"(?:dwijax|configs|benchmarks|tests)/[\w/]+\.(?:py|md)"):
        assert (ROOT / name).is_file(), name


def test_config_fields_in_the_text_are_there():
    configs = [module.get_config() for module in (phantom, he2020, superdti)]

    def has(config, path):
        for name in path.split("."):
            if name not in config:
                return False
            config = config[name]
        return True

    found = {path for text in PROSE.values()
             for path in re.findall(r"--config\.([a-z0-9_.]+)", text)}
    assert len(found) > 10
    for path in found:
        assert any(has(config, path.rstrip(".")) for config in configs), path


def slug(heading):
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_links_lead_somewhere_and_pictures_are_shown():
    shown = set()
    for name, text in TEXTS.items():
        folder = (ROOT / name).parent
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            file = (folder / path).resolve() if path else ROOT / name
            assert file.is_file(), (name, target)
            shown.add(file)
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
                assert anchor in map(slug, headings), (name, target)
    assert set((ROOT / "docs").glob("*.png")) <= shown
    assert set((ROOT / "docs").glob("**/*.md")) <= shown, "a document that nothing links to"


@pytest.fixture(scope="module")
def desk(tmp_path_factory, tiny_run):
    """A simulated scan, folders /data and /scratch, and runs that nobody trained."""
    desk = tmp_path_factory.mktemp("desk")
    table = GradientTable(np.r_[0.0, 0.0, GTAB.bvals], np.r_[np.zeros((2, 3)), GTAB.bvecs])
    write_gradients(table, desk / "b", desk / "g")
    assert cli.main(["simulate", str(desk / "data" / "hcp"), "--subjects", "4", "--workers", "1",
                     "--shape", "16", "20", "8", "--voxel-size", "6", "--bvals", str(desk / "b"),
                     "--bvecs", str(desk / "g"), "--quiet"]) == 0
    files = find_subjects(desk / "data" / "hcp", "hcp")[0]
    for source, name in ((files.dwi, "dwi.nii.gz"), (files.bval, "dwi.bval"),
                         (files.bvec, "dwi.bvec"), (files.mask, "mask.nii.gz"),
                         (files.mask, "callosum.nii.gz")):
        shutil.copy(source, desk / name)
    for name in ("mine", "he2020", "phantom"):
        shutil.copytree(tiny_run, desk / "runs" / name)
    write_tiny_run(desk / "runs" / "any_table", config=any_table.get_config("smoke"))
    return desk


@pytest.mark.parametrize("document", [
    name for name, lines in LINES.items() if any(kind(line) == "dwijax" for line in lines)])
def test_lines_of_the_command_run_in_the_order_of_a_document(document, desk, tmp_path,
                                                             monkeypatch, capsys):
    there = shutil.copytree(desk, tmp_path / "desk")
    monkeypatch.chdir(there)
    monkeypatch.setattr("dwijax.enhancing.scan.STEPS_PER_SECOND", 0.02)
    for line in LINES[document]:
        if kind(line) != "dwijax":
            continue
        if " enhance " in line and document != "docs/enhance.md":
            continue  # the same line, which takes longest
        words = [re.sub("^/(data|scratch)/", r"\1/", word) for word in words_of(line)[1:]]
        status = cli.main(words)
        assert status == 0 or (words[0] == "check" and status == 1), (line, capsys.readouterr())
        if words[0] in ("export", "prepare", "simulate") or "-o" in words:
            out = words[words.index("-o") + 1] if "-o" in words else words[
                1 if words[0] == "simulate" else 2]
            assert list(there.glob(out + "*")), line
        if words[0] == "predict":
            assert (there / out / "report.html").is_file(), line
            added = int(words[words.index("--add") + 1]) if "--add" in words else 2
            assert nib.load(there / out / "dwi.nii.gz").shape[3] == 10 + added, line


def test_all_commands_are_shown():
    shown = {words_of(line)[1] for line in ALL if kind(line) == "dwijax"}
    assert shown == {path.stem for path in (ROOT / "dwijax" / "commands").glob("[a-z]*.py")}


def example(name, **names):
    """What the example of a name in docs/extending.md defines."""
    code = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", EXTENDING, re.S)[1]
    exec(code, names)
    return names


@pytest.mark.parametrize("what", ["model", "loss", "input channel", "baseline", "command"])
def test_how_to_add_is_short(what):
    section = re.search(rf"^## An? {what} of your own\n(.*?)(?=^## |\Z)", EXTENDING, re.M | re.S)[1]
    assert len(section.strip().splitlines()) <= 21


def test_a_model_as_the_document_has_it():
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


def test_a_loss_as_the_document_has_it():
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


def test_a_channel_as_the_document_has_it():
    centre = example("channel", np=np, cut=cut)["Centre"]()
    mask = np.zeros((5, 7, 4), bool)
    images = centre.at([3])(SimpleNamespace(mask=mask), channels.Where(np.array([0, 2])))
    assert images.shape == (2, 5, 7, centre.count) and images.dtype == np.float32
    np.testing.assert_allclose(images[1, [2, 2, 0], [3, 4, 3], 0], [1, 1 / 2, 1 / 3])


def test_a_baseline_as_the_document_has_it():
    baseline = example("baseline")["nearest"]()
    rng = np.random.default_rng(0)
    table = GradientTable(np.r_[0.0, GTAB.bvals], np.r_[np.zeros((1, 3)), GTAB.bvecs])
    acquired = Acquired(rng.uniform(size=(5, 9)).astype(np.float32), table,
                        np.ones((5, 1, 1), bool), np.ones(3))
    order = rng.permutation(8)
    turned = GradientTable(GTAB.bvals[order], -GTAB.bvecs[order])
    np.testing.assert_array_equal(baseline.predict(acquired, turned),
                                  acquired.signal[:, 1:][:, order])


def test_a_command_as_the_document_has_it(tmp_path, monkeypatch, capsys):
    command = SimpleNamespace(**example("command"))
    monkeypatch.setitem(sys.modules, "dwijax.commands.brightness", command)
    monkeypatch.setattr(cli.pkgutil, "iter_modules", lambda _: [command])
    command.name = "brightness"
    folder = good_scan(tmp_path / "scan")
    line = ["brightness", *(word.format(folder) for word in (
        "{}/dwi.nii", "--bvals={}/dwi.bval", "--bvecs={}/dwi.bvec", "--mask={}/mask.nii"))]
    assert cli.main([*line, "--json"]) == 0
    b0s = data_of(folder)[..., :2]
    assert json.loads(capsys.readouterr().out) == {"median_b0": np.median(b0s.mean(axis=-1))}
    (folder / "dwi.bval").unlink()
    assert cli.main(line) == 2
    assert capsys.readouterr().err.count("\n") == 1
