"""Typos on train.py's command line: one line with the nearest names, status 2."""

import sys
from pathlib import Path

import pytest

from dwijax import flags

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PHANTOM = CONFIGS / "phantom.py"


@pytest.mark.parametrize(("words", "told"), [
    (["--config.typo=1"], "--config.typo: found no such field"),
    (["--config.data.inptus=3"], "the nearest are --config.data.inputs,"),
    (["--config.inputs=3"], "the nearest are --config.data.inputs,"),
    (["--config.data.inputs.x=3"], "the nearest are --config.data.inputs,"),
    (["-config.model.widht", "3"], "the nearest are --config.model.width,"),
    (["--noconfig.calibate"], "--noconfig.calibate: found no such field"),
    ([f"--config={PHANTOM}:smoke", "--config.stepps=3"], "the nearest are --config.steps,"),
    ([f"--config={PHANTOM}:fa_los"], "found no variant fa_los"),
    ([f"--config={PHANTOM}:fa_los"], "the nearest are fa_loss, fa_targets"),
    ([f"--config={PHANTOM}:"], None), ([f"--config={PHANTOM}:smoke", "--config.seed=3"], None),
    ([f"--config={CONFIGS}/phantm.py"], f"the nearest are {PHANTOM}"),
    (["--config=nowhere.py"], "found no file nowhere.py"), (["--config"], "found no file"),
    (["--config="], "expected a config file"),
    (["--config.data.inputs=abc"], "--config.data.inputs: found 'abc'; expected a whole number"),
    (["--config.data.inputs="], "found ''"), (["--config.data.inputs=1.5"], "found '1.5'"),
    (["--config.memory_gb=much"], "found 'much'; expected a number"),
    (["--config.calibrate=maybe"], "found 'maybe'; expected True or False"),
    (["--config.seed=0x10", "--noconfig.calibrate", "--config.model.joint", "--config.batch", "3",
      "--config.data.split=(1,0,0)", "--config.memory_gb=1e-3", "--workdir=x"], None),
])
def test_typos(monkeypatch, capsys, words, told):
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    monkeypatch.setattr(flags.config_flags, "DEFINE_config_file", lambda *_: "defined")
    if told is None:
        assert flags.define_config(PHANTOM) == "defined"
        return
    with pytest.raises(SystemExit) as ended:
        flags.define_config(PHANTOM)
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == "" and said.err.count("\n") == 1
    assert told in said.err and said.err.startswith("error: -")


@pytest.mark.parametrize(("program", "told"), [
    ("def get_config(:", "SyntaxError"), ("", "KeyError"), ("1 / 0", "ZeroDivisionError"),
    ("def get_config():\n    return 3", "AttributeError"),
    ("def get_config():\n    raise RuntimeError('a\\nb')", "RuntimeError: a b")])
def test_a_config_file_that_is_none(tmp_path, monkeypatch, capsys, program, told):
    (tmp_path / "mine.py").write_text(program)
    monkeypatch.setattr(sys, "argv", ["train.py", f"--config={tmp_path / 'mine.py'}"])
    with pytest.raises(SystemExit):
        flags.define_config(PHANTOM)
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1 and "get_config() returns" in said
