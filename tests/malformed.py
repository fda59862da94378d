"""The table of malformed inputs: what is spoilt, how, and a word that the line must say."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np

from dwijax import cli
from dwijax.gradients import GradientTable, write_gradients
from tests.tiny_run import GTAB

SHAPE = (6, 5, 4)
BVALS = np.r_[0.0, 5.0, np.full(8, 1000.0)]
AFFINE = np.diag([-2.0, 2.0, 2.5, 1.0])


def good_scan(folder):
    """Two b0s and the eight directions that the run knows."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    data = rng.integers(300, 400, (*SHAPE, 10))
    data[..., :2] += 500
    save(folder / "dwi.nii", data.astype(np.int16))
    save(folder / "mask.nii", np.ones(SHAPE, np.uint8))
    write_gradients(GradientTable(BVALS, np.r_[np.zeros((2, 3)), GTAB.bvecs]),
                    folder / "dwi.bval", folder / "dwi.bvec")
    return folder


def save(path, data, affine=AFFINE):
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    nib.save(image, path)


def listing(folder):
    """Names and sizes of all that lies in a folder."""
    return sorted((str(p.relative_to(folder)), p.lstat().st_size) for p in folder.rglob("*"))


def data_of(folder):
    return np.asarray(nib.load(folder / "dwi.nii").dataobj)


def text(name, content):
    """Replaces a text file of the scan."""
    def spoil(folder):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return spoil


def header(offset, dtype, *values):
    """Overwrites a field of the image's header."""
    def spoil(folder):
        content = bytearray((folder / "dwi.nii").read_bytes())
        field = np.array(values, dtype).tobytes()
        content[offset:offset + len(field)] = field
        (folder / "dwi.nii").write_bytes(content)
    return spoil


def second(offset, dtype, *values):
    """The image as NIfTI-2, a field of its header overwritten."""
    def spoil(folder):
        nib.save(nib.Nifti2Image(data_of(folder), AFFINE), folder / "dwi.nii")
        header(offset, dtype, *values)(folder)
    return spoil


def data(change, name="dwi.nii", affine=AFFINE):
    """Replaces the voxels of the scan."""
    return lambda folder: save(folder / name, change(data_of(folder)), affine)


def cut(count):
    def spoil(folder):
        content = (folder / "dwi.nii").read_bytes()
        (folder / "dwi.nii").write_bytes(content[:count])
    return spoil


def mask(values, affine=AFFINE):
    return lambda folder: save(folder / "mask.nii", values, affine)


def flipped(packed, position):
    packed = bytearray(packed)
    packed[position] ^= 255
    return bytes(packed)


ONES = np.ones(SHAPE, np.float32)
ROWS = "0 0 " + "1 " * 8 + "\n" + "0 " * 10 + "\n" + "0 " * 10 + "\n"
B = " ".join(f"{b:g}" for b in BVALS)

GRADIENTS = {
    "bvals empty": (text("dwi.bval", ""), "no numbers"),
    "bvals blank": (text("dwi.bval", " \n\t\n"), "no numbers"),
    "bvals words": (text("dwi.bval", B.replace("5", "five", 1)), "'five'"),
    "bvals commas": (text("dwi.bval", B.replace(" ", ",")), "separated by blanks"),
    "bvals semicolons": (text("dwi.bval", B.replace(" ", "; ")), "'0;'"),
    "bvals decimal commas": (text("dwi.bval", B.replace("5", "5,0", 1)), "'5,0'"),
    "bvals hexadecimal": (text("dwi.bval", B.replace("5", "0x5", 1)), "'0x5'"),
    "bvals one less": (text("dwi.bval", B[:-5]), "b-values"),
    "bvals one more": (text("dwi.bval", B + " 1000"), "b-values"),
    "bvals two rows": (text("dwi.bval", B + "\n" + B), "2 rows of 10"),
    "bvals ragged": (text("dwi.bval", "0 0\n" + B), "rows of 2 to 10"),
    "bvals negative": (text("dwi.bval", B.replace("5", "-5", 1)), "negative b"),
    "bvals nan": (text("dwi.bval", B.replace("5", "nan", 1)), "not a number"),
    "bvals infinite": (text("dwi.bval", B.replace("5", "1e999", 1)), "not a number"),
    "bvals in s/m²": (text("dwi.bval", B.replace("1000", "1e9")), "s/mm²"),
    "bvals in ms/µm²": (text("dwi.bval", B.replace("1000", "1")), "s/mm²"),
    "bvals zero": (text("dwi.bval", "0 " * 10), "diffusion-weighted"),
    "bvals UTF-16": (text("dwi.bval", B.encode("utf-16")), "not text"),
    "bvals binary": (text("dwi.bval", bytes(range(256))), "not text"),
    "bvals NUL bytes": (text("dwi.bval", b"\0" * 50), "expected numbers"),
    "bvecs empty": (text("dwi.bvec", ""), "no numbers"),
    "bvecs two rows": (text("dwi.bvec", "\n".join(ROWS.splitlines()[:2])), "3 rows of 10"),
    "bvecs four rows": (text("dwi.bvec", ROWS + ROWS.splitlines()[0]), "3 rows of 10"),
    "bvecs ragged": (text("dwi.bvec", ROWS[:-3]), "rows of 9 to 10"),
    "bvecs one less": (text("dwi.bvec", ROWS.replace("0 0 ", "0 ", 1).replace(
        "\n0 ", "\n", 2)), "9 directions"),
    "bvecs zero": (text("dwi.bvec", ROWS.replace("1", "0")), "no direction"),
    "bvecs nan": (text("dwi.bvec", ROWS.replace("1", "nan", 1)), "not a number"),
    "bvecs infinite": (text("dwi.bvec", ROWS.replace("1", "inf", 1)), "not a number"),
    "bvecs long": (text("dwi.bvec", ROWS.replace("1", "1.5")), "unit length"),
    "bvecs all one direction": (text("dwi.bvec", ROWS), "direction"),
    "bvals and bvecs exchanged": (
        lambda f: shutil.copy(f / "dwi.bvec", f / "dwi.bval"), "3 rows of 10"),
}
IMAGES = {
    "no bytes": (cut(0), "cannot be read"),
    "half a header": (cut(200), "cannot be read"),
    "half the voxels": (cut(900), "before compression"),
    "one byte missing": (cut(-1), "before compression"),
    "text": (text("dwi.nii", "no image\n" * 200), "cannot be read"),
    "zeros": (text("dwi.nii", bytes(5000)), "cannot be read"),
    "wrong magic": (header(344, "S4", b"abc"), "NIfTI"),
    "negative dimension": (header(42, "<i2", -6), "expected"),
    "dimension of zero": (header(42, "<i2", 0), "expected"),
    "huge dimensions": (header(42, "<i2", 32767, 32767, 32767, 32767), "before compression"),
    "negative number of axes": (header(40, "<i2", -4), "expected"),
    "nine axes": (header(40, "<i2", 9), "expected"),
    "one axis": (header(40, "<i2", 1), "expected"),
    "unknown type": (header(70, "<i2", 1234), "expected"),
    "colours": (header(70, "<i2", 128), "expected"),
    "another type's size": (header(70, "<i2", 64), "before compression"),
    "voxels far behind the end": (header(108, "<f4", 1e9), "before compression"),
    "voxels at not-a-number": (header(108, "<f4", np.nan), "expected"),
    "voxels at infinity": (header(108, "<f4", np.inf), "cannot be read"),
    "voxels at minus infinity": (header(108, "<f4", -np.inf), "cannot be read"),
    "voxels before the start": (header(108, "<f4", -1e6), "expected"),
    "eight axes": (header(40, "<i2", 8), "expected"),
    "no axes": (header(40, "<i2", 0), "three or four axes"),
    "axes of another byte order": (header(40, "<i2", 1024), "expected"),
    "type of no name": (header(70, "<i2", 0), "expected"),
    "bits of no name": (header(70, "<i2", 1), "expected"),
    "slope of 1e38": (header(112, "<f4", 1e38, 0), "not finite"),
    "NIfTI-2 of 2^62 voxels a side": (second(24, "<i8", 2**62, 2**62, 2**62), "before compr"),
    "NIfTI-2 of negative axes": (second(24, "<i8", -6), "shape -6"),
    "NIfTI-2 of 2^40 axes": (second(16, "<i8", 2**40), "expected"),
    "NIfTI-2 with voxels at the end of the world": (second(168, "<i8", 2**63 - 1), "before compr"),
    "NIfTI-2 with voxels before the start": (second(168, "<i8", -2**62), "expected"),
    "NIfTI-2 with a slope of 1e300": (second(176, "<f8", 1e300, 0), "not finite"),
    "scale without a start": (header(112, "<f4", 2, np.nan), "expected"),
    "affine of zeros": (header(280, "<f4", *[0] * 12), "affine"),
    "affine of nan": (header(280, "<f4", *[np.nan] * 12), "affine"),
    "three axes": (data(lambda d: d[..., 0]), "4-D"),
    "five axes": (data(lambda d: np.stack([d, d], -1)), "4-D"),
    "complex": (data(lambda d: d.astype(np.complex64)), "magnitude"),
    "nan": (data(lambda d: np.where(d > 880, np.nan, d).astype(np.float32)), "not finite"),
    "infinite": (data(lambda d: np.where(d > 880, np.inf, d).astype(np.float32)), "not finite"),
    "intensities of 1e38": (data(lambda d: (d * 1e35).astype(np.float32)), "up to"),
    "all zero": (data(np.zeros_like), "no voxel"),
    "one volume": (data(lambda d: d[..., :1]), "volume"),
    "MRtrix3": (lambda f: (f / "dwi.nii").rename(f / "dwi.mif"), "mrconvert"),
}
PACKED = {
    "gzip cut": (lambda p: p[: len(p) // 2], "cannot be read"),
    "gzip without its end": (lambda p: p[:-8], "cannot be read"),
    "gzip changed inside": (lambda p: flipped(p, len(p) // 2), "cannot be read"),
    "gzip with a wrong checksum": (lambda p: flipped(p, -6), "cannot be read"),
    "not gzip": (gzip.decompress, "cannot be read"),
    "gzip of nothing": (lambda p: gzip.compress(b""), "cannot be read"),
    "gzip that claims the world": (lambda p: gzip.compress(
        gzip.decompress(p)[:42] + b"\xff\x7f" * 3 + gzip.decompress(p)[48:]), "before compression"),
}
MASKS = {
    "mask of another shape": (mask(np.ones((6, 5, 5), np.uint8)), "6×5×5"),
    "mask of a volume": (mask(np.ones((*SHAPE, 2), np.uint8)), "3-D mask"),
    "mask of halves": (mask(ONES / 2), "not whole numbers"),
    "mask of nan": (mask(ONES * np.nan), "not finite"),
    "mask of 1e300": (mask(ONES.astype(float) * 1e300), "1e+300"),
    "infinite mask": (mask(ONES * np.inf), "whole numbers"),
    "negative mask": (mask(-ONES), "0 outside"),
    "empty mask": (mask(0 * ONES), "an empty mask"),
    "complex mask": (mask(ONES * 1j), "real numbers"),
    "mask elsewhere": (mask(ONES, AFFINE + np.eye(4, k=3) * 30), "voxels away"),
    "mask of other voxels": (mask(ONES, AFFINE @ np.diag([2, 2, 2, 1])), "voxels away"),
    "mask that is text": (text("mask.nii", "1 1 1"), "cannot be read"),
}
OPTIONS = {
    "no such map": (["--maps", "fa", "farce"], "farce"),
    "half an option": (["--metho", "ols"], "--metho"),
    "no such method": (["--method", "magic"], "magic"),
    "floor of zero": (["--floor", "0"], "--floor"),
    "floor of nan": (["--floor", "nan"], "--floor"),
    "reweighted backwards": (["--reweightings", "-1"], "--reweightings"),
    "reweighted for ever": (["--reweightings", "1000000000"], "--reweightings"),
    "no threads": (["--threads", "0"], "--threads"),
    "BIDS without a subject": (["--naming", "bids"], "not of BIDS"),
    "grad_dev of another shape": (["--grad-dev", "{}/mask.nii"], "×9"),
    "grad_dev missing": (["--grad-dev", "{}/none.nii"], "no such file"),
    "mask without a name": (["--mask", ""], "--mask"),
    "measured only, of nothing else": (["--measured-only"], "no list of synthetic"),
}
FILES = {
    "image missing": ({"dwi": "none.nii"}, "no such file"),
    "image is a folder": ({"dwi": "."}, "a folder"),
    "image of endless name": ({"dwi": "long" * 200}, "more than 255 bytes"),
    "image below a file": ({"dwi": "dwi.bval/dwi.nii"}, "dwi.bval/dwi.nii"),
    "image with a line break": ({"dwi": "a\nb.nii"}, "no such file"),
    "image is a pipe": ({"dwi": "pipe"}, "a pipe"),
    "mask is a pipe": ({"mask": "pipe"}, "a pipe"),
    "bvals are a pipe": ({"bvals": "pipe"}, "no numbers"),
    "bvecs are a pipe": ({"bvecs": "pipe"}, "no numbers"),
    "bvals missing": ({"bvals": "none"}, "no such file"),
    "bvals are a folder": ({"bvals": "."}, "directory"),
    "bvals without end": ({"bvals": "/dev/zero"}, "MiB"),
    "bvecs are a device": ({"bvecs": "/dev/null"}, "no numbers"),
    "mask missing": ({"mask": "none.nii"}, "no such file"),
    "output is a file": ({"out": "dwi.bval"}, "a file"),
    "output below a file": ({"out": "dwi.bval/out"}, "dwi.bval"),
    "output of endless name": ({"out": "long" * 200}, "more than 255 bytes"),
    "output that nobody may write": ({"out": "/proc/out"}, "cannot be written"),
}
JSON = {"a wrong list": '{"synthetic_volumes": 3}',
        "volumes beyond": '{"synthetic_volumes": [10]}'}
NO_JSON = {"cut": "{", "endless depth": "[" * 100_000, "nothing": "", "bytes": "\0\1\2"}
SPOILT = GRADIENTS | IMAGES | MASKS


def spoilt_run(change):
    """A copy of the run, changed."""
    def make(run, folder):
        copy = folder / "run"
        shutil.copytree(run, copy)
        change(copy)
        return copy
    return make


def config(change):
    def edit(run):
        about = json.loads((run / "config.json").read_text())
        change(about)
        (run / "config.json").write_text(json.dumps(about))
    return spoilt_run(edit)


def exported(change):
    def make(run, folder):
        cli.main(["export", str(run), str(folder / "run.dwijax"), "--quiet"])
        content = (folder / "run.dwijax").read_bytes()
        (folder / "run.dwijax").write_bytes(change(content))
        return folder / "run.dwijax"
    return make


def newest(run):
    return sorted((run / "checkpoints").iterdir())[-1]


def flip_largest(run):
    files = [path for path in newest(run).rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(flipped(largest.read_bytes(), -3))


PREDICTIONS = {
    "no run": (lambda run, folder: folder / "none", "config.json"),
    "run is a scan": (lambda run, folder: folder / "scan" / "dwi.nii", "another kind of file"),
    "run without checkpoints": (spoilt_run(lambda r: shutil.rmtree(r / "checkpoints")), "train"),
    "run with a flipped byte": (spoilt_run(flip_largest), "no whole checkpoint"),
    "config that is text": (spoilt_run(lambda r: (r / "config.json").write_text("x")),
                            "description"),
    "config of endless depth": (
        spoilt_run(lambda r: (r / "config.json").write_text("[" * 100_000)), "description"),
    "config without a table": (config(lambda a: a.pop("table")), "description"),
    "config with another table": (config(lambda a: a["table"].update(bvals=[1000.0])),
                                  "expected"),
    "exported with a flipped byte": (exported(lambda c: flipped(c, 5000)), "checksum"),
    "exported with a flipped byte in its checksum": (exported(lambda c: flipped(c, 30)),
                                                     "checksum"),
    "exported, cut": (exported(lambda c: c[:-1]), "checksum"),
    "exported, longer": (exported(lambda c: c + b"\0"), "checksum"),
    "exported, of another version": (
        exported(lambda c: c.replace(b"run 1", b"run 9", 1)), "another kind of file"),
    "exported, empty": (exported(lambda c: b""), "an empty file"),
    "exported, a pickle": (exported(lambda c: b"\x80\x04cos\nsystem\n(S'true'\ntR."),
                           "another kind of file"),
    "exported, a zip": (exported(lambda c: b"PK\x03\x04" + c), "another kind of file"),
}

CONFIGS = {
    "task": ("task", "painting"),
    "layout": ("data.layout", "heap"),
    "axis": ("data.axis", 3),
    "no inputs": ("data.inputs", 0),
    "subjects": ("data.subjects", -1),
    "width": ("model.width", -1),
    "levels": ("model.levels", 40),
    "residual": ("model.residual", "guess"),
    "activation": ("model.activation", "__import__('os').abort"),
    "batch": ("batch", 0),
    "patch": ("patch", 31),
    "steps": ("steps", -5),
    "learning rate": ("optimizer.learning_rate", 0.0),
    "optimiser": ("optimizer.name", "luck"),
    "FA loss": ("loss.fa_weight", -1.0),
    "root": ("data.root", "nowhere"),
}
