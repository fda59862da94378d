"""What is done to an argument of a command, by its kind.

Every argument of every command has a kind: `KINDS` has those that argparse does not tell. An attack
is ``name: (make, refused)``: ``make(folder)`` gives the argument, a word or several, and may write
files into the empty ``folder``; ``refused`` says whether it has to be. What need not be refused may
be taken, but then quietly.
"""

import argparse
import gzip
import os

import numpy as np

from tests.malformed import ONES, save

KINDS = {
    "dwi": "image", "fa": "image", "v1": "image", "grad_dev": "image", "like": "image",
    "mask": "mask", "seeds": "mask", "through": "mask",
    "bvals": "table", "bvecs": "table", "table": "prefix",
    "trained": "run", "root": "folder", "maps": "names", "note": "words",
    "out": "output", "file": "output", "store": "output", "write_bvecs": "output if need be",
}
OUTPUTS = {"fit": "output folder", "enhance": "output folder", "predict": "output folder",
           "simulate": "output folder", "check": "output stem"}
# Others write a file, or a folder that must not be there.


def kind_of(command, action):
    """Of an argparse action; KeyError where `KINDS` does not know the argument."""
    if action.nargs == 0:
        return "switch"
    if action.choices is not None:
        return "choice"
    if action.dest not in KINDS and _is_number(action.type):
        return "number"
    kind = KINDS[action.dest]
    return OUTPUTS.get(command, kind) if kind == "output" else kind


def _is_number(read):
    """Whether a type of argparse takes a number and no word."""
    try:
        return read is not str and read("1") == 1 and _raises(read, "word")
    except (TypeError, ValueError, argparse.ArgumentTypeError):  # 1 is out of its range
        return _raises(read, "word")


def _raises(read, text):
    try:
        read(text)
    except (TypeError, ValueError, argparse.ArgumentTypeError):
        return True
    return False


def file(content):
    def make(folder):
        path = folder / "attack.nii"
        path.write_bytes(content)
        return path
    return make


def fifo(folder):
    os.mkfifo(folder / "fifo.nii")
    return folder / "fifo.nii"


def loop(folder):
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def below_a_file(folder):
    (folder / "plain").write_text("x")
    return folder / "plain" / "x"


def empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def image(array):
    def make(folder):
        save(folder / "attack.nii", array)
        return folder / "attack.nii"
    return make


def word(text):
    return lambda folder: text


# Of everything that is read.
READ = {
    "no name": (word(""), True),
    "null byte": (word("a\0b"), True),
    "endless name": (word("long" * 200), True),
    "nothing there": (lambda folder: folder / "none", True),
    "line break in the name": (lambda folder: folder / "a\nb", True),
    "no text in the name": (lambda folder: folder / "\udcff", True),
    "below a file": (below_a_file, True),
    "a link to itself": (loop, True),
    "an empty folder": (empty, True),
    "a pipe": (fifo, True),
    "a device": (word("/dev/null"), True),
    "an empty file": (file(b""), True),
    "text": (file(b"no such thing\n"), True),
    "binary": (file(bytes(range(256)) * 8), True),
    "zeros": (file(bytes(5000)), True),
    "a pickle": (file(b"\x80\x04cos\nsystem\n(S'true'\ntR."), True),
    "a zip": (file(b"PK\x03\x04" + bytes(200)), True),
    "JSON without end": (file(b"[" * 100_000), True),
}
PICTURE = READ | {
    "a device without end": (word("/dev/zero"), True),
    "gzip of nothing": (file(gzip.compress(b"")), True),
    "one voxel": (image(np.ones((1, 1, 1), np.float32)), True),
    "colours": (image(np.zeros((6, 5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])), True),
    "NaN everywhere": (image(ONES * np.nan), True),
    "zeros everywhere": (image(0 * ONES), True),
    "complex": (image(ONES * 1j), True),
    "seven axes": (image(np.ones((6, 5, 4, 2, 2, 2, 2), np.uint8)), True),
}
WRITTEN = {
    "no name": (word(""), True),
    "null byte": (word("a\0b"), True),
    "endless name": (word("long" * 200), True),
    "where nobody may write": (word("/proc/x/out.trk"), True),
    "below a file": (below_a_file, True),
    "a link to itself": (loop, True),
    "a device": (word("/dev/null"), True),
    "a file that is there": (file(b"x"), True),
    "a pipe": (fifo, True),
}
ATTACKS = {
    "image": PICTURE,
    "mask": PICTURE | {
        "halves": (image(ONES / 2), True),
        "negative": (image(-ONES), True),
        "huge": (image(ONES * 1e30), True),
        "another shape": (image(np.ones((6, 5, 5), np.uint8)), True),
        "infinite": (image(ONES * np.inf), True),
    },
    "table": READ | {
        "a device without end": (word("/dev/zero"), True),
        "words": (file(b"one two three"), True),
        "one number": (file(b"1"), True),
        "numbers without end": (file(b"1e999 " * 10), True),
    },
    "prefix": READ,
    "run": READ | {"a device without end": (word("/dev/zero"), True)},
    "folder": READ,
    "output folder": WRITTEN,
    "output": WRITTEN | {"here": (word("."), True), "the root": (word("/"), True)},
    # Files have its name and an ending: what is there is another file.
    "output stem": {case: (make, case not in (
        "a link to itself", "a file that is there", "a pipe"))
        for case, (make, _) in WRITTEN.items() if case != "a device"} | {
            "here": (word("."), True), "the root": (word("/"), True)},
    # Tried, but for its name, only when there is something to write.
    "output if need be": {case: (make, case in ("no name", "null byte", "endless name"))
                          for case, (make, _) in WRITTEN.items()},
    "number": {
        "none": (word(""), True), "a word": (word("many"), True), "NaN": (word("nan"), True),
        "infinite": (word("inf"), True), "without end": (word("1e999"), True),
        "negative infinity": (word("-inf"), True), "a null byte": (word("1\0"), True),
        "64 bits": (word(str(2**63)), False), "a thousand digits": (word("9" * 5000), True),
        "-1": (word("-1"), True), "digits of another script": (word("²"), True),
    },
    "names": {"none": (word(""), True), "a word": (word("farce"), True),
              "null byte": (word("fa\0"), True)},
    "words": {"none": (word(""), False), "lines": (word("a\n# b\n| c |"), False),
              "no text": (word("\udcff"), False), "null byte": (word("a\0"), False)},
    "choice": {"none": (word(""), True), "a word": (word("farce"), True),
               "null byte": (word("a\0"), True)},
    "switch": {},
}
