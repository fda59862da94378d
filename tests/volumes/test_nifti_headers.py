"""Headers and files of NIfTI that are odd, contradict themselves or are broken."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dwijax.errors import InputError
from dwijax.volumes import (
    orientation_notes,
    read_dwi,
    read_image,
    read_volumes,
    save_like,
)
from tests.volumes.images import SHAPE, ras_affine, series


def write(path, image):
    nib.save(image, path)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_quaternion_that_rounding_made_longer_is_read(tmp_path, kind):
    image = kind(np.ones(SHAPE, np.float32), None)
    image.header.set_qform(np.diag([-2.0, 2, 2, 1]), 1)
    image.header["quatern_c"] = 1.0000003
    nib.save(image, tmp_path / "x.nii")
    read = read_image(tmp_path / "x.nii")
    np.testing.assert_allclose(read.affine, np.diag([-2.0, 2, 2, 1]), atol=1e-12)
    assert orientation_notes(read) == []
    save_like(tmp_path / "fa.nii", np.ones(SHAPE[:3]), read)
    np.testing.assert_allclose(nib.load(tmp_path / "fa.nii").affine, read.affine, atol=1e-6)


def test_a_header_without_an_orientation_or_with_two_says_so(tmp_path):
    def notes(sform, qform, codes):
        image = nib.Nifti1Image(np.ones(SHAPE, np.float32), None)
        image.set_sform(sform, codes[0])
        image.set_qform(qform, codes[1])
        nib.save(image, tmp_path / "x.nii")
        return orientation_notes(read_image(tmp_path / "x.nii"))

    ras, las = np.diag([2.0, 2, 2, 1]), np.diag([-2.0, 2, 2, 1])
    for codes in ((1, 0), (0, 1), (4, 1)):
        assert notes(ras, ras, codes) == []
    none, = notes(ras, ras, (0, 0))
    assert "no orientation" in none and "L, A, S" in none
    two, = notes(ras, las, (1, 1))
    assert "sform (RAS) and qform (LAS)" in two and "sform (code 1) is used" in two
    turned, = notes(ras_affine(20) @ np.diag([1, 0.8, 2 / 3, 1]), ras, (2, 1))
    assert "differ by 2" in turned and "°" in turned
    assert notes(ras_affine(20), ras_affine(20), (1, 1)) == []


FIELDS = st.sampled_from([b"\0", b"\xff", b"\x7f", b"\x80\x7f", *(
    np.array(x, t).tobytes() for t in ("<f4", "<f8") for x in (np.nan, np.inf, -np.inf, 0, -1e38))])


@given(start=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]), changes=st.lists(
    st.tuples(st.integers(0, 543), FIELDS | st.binary(min_size=1, max_size=8)), min_size=1,
    max_size=3))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_is_read_or_refused_in_one_line(tmp_path, capfd, start, changes):
    image = start(np.ones((3, 2, 2, 2), np.int16), np.diag([-2.0, 2, 2, 1]))
    image.set_qform(image.affine, 1)
    contents = write(tmp_path / "x.nii", image)
    for place, value in changes:
        contents[place:place + len(value)] = value
    (tmp_path / "x.nii").write_bytes(contents)
    try:
        read = read_image(tmp_path / "x.nii")
        orientation_notes(read)
        read_volumes(read)
        save_like(tmp_path / "y.nii", np.zeros(read.shape[:3]), read)
        np.testing.assert_allclose(read_image(tmp_path / "y.nii").affine, read.affine, rtol=1e-5)
    except InputError as error:
        assert "\n" not in str(error)
    assert capfd.readouterr() == ("", "")


def with_qform(contents, *quaternion):
    """A file of NIfTI-1 that has a qform alone, of this quaternion (b, c, d)."""
    contents[252:256] = np.array([1, 0], "<i2").tobytes()
    contents[256:268] = np.array(quaternion, "<f4").tobytes()
    return bytes(contents)


def bad_file(kind, tmp_path):
    """Writes one broken file and returns its path."""
    path = tmp_path / "x.nii"
    contents = write(path, series())
    if kind == "missing":
        return tmp_path / "none.nii"
    if kind == "folder":
        return tmp_path
    if kind == "long name":
        return tmp_path / ("long" * 100)
    if kind == "text":
        path.write_text("no image\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "magic":
        contents[344:348] = b"abc\0"
        path.write_bytes(contents)
    elif kind == "truncated":
        path.write_bytes(contents[:-100])
    elif kind in ("negative", "huge", "zero"):
        size = {"negative": -4, "huge": 32767, "zero": 0}[kind]
        contents[42:48] = np.full(3, size, "<i2").tobytes()
        path.write_bytes(contents)
    elif kind == "datatype":
        contents[70:72] = np.array(1234, "<i2").tobytes()
        path.write_bytes(contents)
    elif kind == "complex":
        nib.save(nib.Nifti1Image(np.ones(SHAPE, np.complex64), ras_affine()), path)
    elif kind == "affine":
        contents[280:328] = np.zeros(12, "<f4").tobytes()
        contents[254:256] = np.array(1, "<i2").tobytes()
        path.write_bytes(contents)
    elif kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif kind == "pair without voxels":
        nib.save(nib.Nifti1Pair(np.ones(SHAPE, np.float32), ras_affine()), tmp_path / "x.hdr")
        (tmp_path / "x.img").unlink()
        return tmp_path / "x.hdr"
    elif kind == "offset":
        contents[108:112] = np.array(np.inf, "<f4").tobytes()
        path.write_bytes(contents)
    elif kind == "voxels of 1e20 mm":
        contents[280:284] = np.array(1e20, "<f4").tobytes()
        path.write_bytes(contents)
    elif kind == "long quaternion":
        path.write_bytes(with_qform(contents, 0, 1.1, 0))
    elif kind == "three":
        write(path, series(shape=SHAPE[:3]))
    elif kind == "five":
        write(path, series(shape=(*SHAPE, 2)))
    else:
        noise = np.random.default_rng(0).normal(size=(20, 20, 20, 3)).astype(np.float32)
        path = tmp_path / "x.nii.gz"
        packed = write(path, nib.Nifti1Image(noise, ras_affine()))
        if kind == "gzip truncated":
            path.write_bytes(packed[: len(packed) // 2])
        elif kind == "gzip corrupt":
            packed[len(packed) // 2 : len(packed) // 2 + 50] = bytes(50)
            path.write_bytes(packed)
        elif kind == "gzip checksum":
            packed[-6] ^= 1
            path.write_bytes(packed)
        elif kind == "gzip huge":
            plain = bytearray(gzip.decompress(packed))
            plain[42:48] = np.full(3, 32767, "<i2").tobytes()
            path.write_bytes(gzip.compress(plain))
        elif kind == "not gzip":
            path.write_bytes(gzip.decompress(packed))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file"),
        ("folder", "a folder"),
        ("long name", "cannot be read"),
        ("text", "cannot be read"),
        ("empty", "cannot be read"),
        ("magic", "NIfTI"),
        ("truncated", "before compression"),
        ("negative", "expected"),
        ("huge", "before compression"),
        ("zero", "expected"),
        ("datatype", "expected"),
        ("complex", "magnitude"),
        ("affine", "affine"),
        ("three", "4×5×6; expected a 4-D"),
        ("five", "4×5×6×3×2; expected a 4-D"),
        ("pipe", "a device or a pipe"),
        ("pair without voxels", "x.img: found no regular file"),
        ("offset", "cannot be read"),
        ("voxels of 1e20 mm", "cannot be inverted"),
        ("long quaternion", "w2 should be positive"),
        ("gzip truncated", "cannot be read"),
        ("gzip corrupt", "expected"),
        ("gzip checksum", "CRC"),
        ("gzip huge", "before compression"),
        ("not gzip", "cannot be read"),
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path, capfd, kind, words):
    with pytest.raises(InputError) as caught:
        read_volumes(read_dwi(bad_file(kind, tmp_path)), [0])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_foreign_format_is_named(tmp_path):
    nib.save(nib.MGHImage(np.ones(SHAPE, np.float32), ras_affine()), tmp_path / "x.mgz")
    with pytest.raises(InputError, match="MGHImage"):
        read_image(tmp_path / "x.mgz")
