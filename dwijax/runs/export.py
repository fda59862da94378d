"""A trained run as one file that can be handed on.

    dwijax-run 1 sha256 <64 hexadecimal digits of everything below>
    <one line of JSON: config, gradient table, normalisation, training, versions, model card>
    <the parameters in the safetensors format>

``head -2 FILE`` shows what it is, ``tail -n +2 FILE | sha256sum`` checks it. Nothing in it is code
and nothing is compressed: reading takes memory in proportion to the file's size, whatever the file
claims. The checksum finds damage; it does not say who wrote the file.
"""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np

from dwijax.errors import InputError
from dwijax.output import refuse_to_overwrite, whole
from dwijax.runs import log, model_card

MAGIC = b"dwijax-run 1 sha256 "
_FIRST_LINE = len(MAGIC) + 64 + 1
_LARGEST_JSON = 16 * 2**20  # bytes


def write(path, about, params, training, results, notes=(), force=False):
    """Writes the file.

    Subjects' names and the folder of the data stay behind; how many there were is told.

    Args:
      path: the file.
      about: content of the run's ``config.json``.
      params: tree of arrays, leaves ``[K, ...]``.
      training: dict, from `training_summary`.
      results: lines of Markdown about the evaluation, may be empty.
      notes: lines about the training data.
      force: replace a file that is there.

    Returns:
      int, bytes written.

    Raises:
      InputError: the file is there already or cannot be written.
    """
    from safetensors.numpy import save

    if not force:
        refuse_to_overwrite([path])
    about = anonymous(about) | {"training": training}
    about["card"] = model_card.markdown(about, results, notes)
    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in _flat(params).items()}
    body = json.dumps(about).encode() + b"\n" + save(arrays)
    with whole(path) as temporary:
        temporary.write_bytes(MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    return _FIRST_LINE + len(body)


def read(path):
    """Reads a file that `write` has written.

    Args:
      path: the file.

    Returns:
      ``(about, arrays)``: dict, and arrays by name for `restore`.

    Raises:
      InputError: it is no such file, or not one bit for bit.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_FIRST_LINE)
            if not start.startswith(MAGIC):
                raise _fault(path, "another kind of file" if start else "an empty file")
            body = file.read()
    except OSError as error:
        raise _fault(path, f"it cannot be read ({error.strerror or error})") from error
    if start != MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise _fault(path, "contents that do not match its checksum",
                     "copy it again from where it comes from")
    return _parse(path, body)


def restore(path, arrays, like):
    """Puts arrays into the tree of a run's parameters.

    Args:
      path: what an error names.
      arrays: from `read`.
      like: tree of ``jax.ShapeDtypeStruct``.

    Raises:
      InputError: names, shapes or types are not those of the tree; a value is not finite.
    """
    wanted = _flat(like)
    for name in sorted(wanted.keys() | arrays.keys()):
        there, expected = (
            f"{a[name].dtype} {list(a[name].shape)}" if name in a else "nothing"
            for a in (arrays, wanted))
        if there != expected:
            raise _fault(path, f"parameters {name[:60]}: {there} instead of {expected}")
        if not np.isfinite(arrays[name]).all():
            raise _fault(path, f"parameters {name[:60]} that are not finite")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])


def training_summary(workdir):
    """The last and the best losses in the run's log; empty where there is none."""
    lines = log.read(workdir)
    summary = {"steps": lines[-1]["step"]} if lines else {}
    for name, pick in (("loss", lambda v: v[-1]), ("validation_loss", min)):
        values = [line[name] for line in lines if isinstance(line.get(name), int | float)]
        if values:
            summary[name] = pick(values)
    return summary


def evaluation_headlines(workdir, about):
    """Headings and listed sentences of the evaluation's report; empty where there is none."""
    try:
        text = (Path(workdir) / "tables" / "report.md").read_text("utf-8", "replace")
    except OSError:
        return []
    root = str(about["config"]["data"]["root"])
    sections = text.replace(root, "the data").partition("\n## ")
    lines = "".join(sections[1:]).splitlines()
    return ["#" * line.startswith("## ") + line for line in lines if line.startswith(("## ", "- "))]


def _parse(path, body):
    from safetensors import SafetensorError
    from safetensors.numpy import load

    line, newline, tensors = body.partition(b"\n")
    if not newline or len(line) > _LARGEST_JSON:
        raise _fault(path, "no description")
    try:
        about, arrays = json.loads(line), load(tensors)
    except (ValueError, RecursionError, KeyError, SafetensorError, MemoryError) as error:
        raise _fault(path, f"contents that cannot be read ({type(error).__name__})") from error
    if not isinstance(about, dict):
        raise _fault(path, "no description")
    return about, arrays


def anonymous(about):
    """A run's description in which nobody whose scan was used is named, nor a path of the machine.
    """
    subjects = about["subjects"]
    alias = {name: f"{part}-{i + 1}" for part in ("train", "validation", "test")
             for i, name in enumerate(subjects[part])}

    def renamed(value):
        if isinstance(value, dict):
            return {alias.get(key, key): renamed(v) for key, v in value.items()}
        if isinstance(value, list):
            return [renamed(v) for v in value]
        return alias.get(value, value) if isinstance(value, str) else value

    config = about["config"] | {"data": about["config"]["data"] | {"root": ""}}
    measured = not str(subjects["origin"]).startswith("phantom ")
    rest = renamed({key: value for key, value in about.items() if key not in ("config", "scans")})
    if measured:
        rest["subjects"]["origin"] = "measured"
    return rest | {"config": config}


def _flat(tree):
    return {jax.tree_util.keystr(keys, simple=True, separator="/"): leaf
            for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _fault(path, found, remedy="export the run again (dwijax export RUN FILE)"):
    return InputError(path, found=found, expected="a run that dwijax export has written",
                      remedy=remedy)
