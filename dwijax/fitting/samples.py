"""The masked samples of a scan, read once from front to back.

A compressed scan can only be read in file order, volume by volume; a fit needs all volumes of a
voxel. So the masked voxels are kept, as rows of volumes: in memory while they are few, otherwise
in a file that has no name and is gone with the process.
"""

import contextlib
import math
import os
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from dwijax.errors import InputError
from dwijax.volumes import not_usable, readable, usable

_IN_MEMORY = 512 * 2**20  # bytes
_BLOCK = 2**18  # compressed bytes at a time
_FIRST = 2**9  # of a member


class Samples:
    """float32 ``[M, V]``: M volumes of V voxels.

    Args:
      volumes, voxels: M and V.
      folder: where a file may be made if they do not fit into half a gigabyte.
    """

    def __init__(self, volumes, voxels, folder):
        self.shape = volumes, voxels
        self._rows, self._file = None, None
        if 4 * volumes * voxels <= _IN_MEMORY:
            self._rows = np.empty(self.shape, np.float32)
        else:
            with _room(folder):
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            self._folder = folder

    def put(self, m, row):
        """Stores volume ``m``, ``[V]``."""
        if self._rows is not None:
            self._rows[m] = row
        else:
            with _room(self._folder):
                self._file.seek(4 * m * self.shape[1])
                self._file.write(np.ascontiguousarray(row, np.float32))
                self._file.flush()

    def chunk(self, start, stop):
        """Voxels ``start`` to ``stop`` of all volumes, ``[M, stop - start]``."""
        if self._rows is not None:
            return self._rows[:, start:stop]
        out = np.empty((self.shape[0], stop - start), np.float32)
        for m, row in enumerate(out):
            os.preadv(self._file.fileno(), [row], 4 * (m * self.shape[1] + start))
        return out

    def row(self, m):
        """Volume ``m``, ``[V]``."""
        if self._rows is not None:
            return self._rows[m]
        row = np.empty(self.shape[1], np.float32)
        os.preadv(self._file.fileno(), [row], 4 * m * self.shape[1])
        return row

    def close(self):
        self._rows = None
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def _room(folder):
    try:
        yield
    except OSError as error:
        raise InputError(
            folder,
            found=f"no temporary file can be written ({error.strerror or error})",
            expected="room for the masked voxels of all volumes, 4 bytes each",
            remedy="choose another output or free some space",
        ) from error


def read_samples(image: nib.Nifti1Image, index: np.ndarray, volumes: np.ndarray, folder: Path,
                 progress: Callable = iter, saturated: float | None = None) -> Samples:
    """Reads the masked voxels of some volumes.

    Args:
      image: nibabel image ``[X, Y, Z, M]`` (or ``[X, Y, Z]``: one volume) that comes from a file.
      index: int ``[V]``, voxels in the file's order (first axis fastest).
      volumes: ascending indices of the volumes wanted.
      folder: for the temporary file, see `Samples`.
      progress: wraps the iteration over volumes, such as `tqdm.tqdm`.
      saturated: what to put for samples at the largest number that an integer type can store, in
        files without a slope; None: what is there.

    Returns:
      `Samples` ``[len(volumes), V]``, scl_slope and scl_inter applied.

    Raises:
      InputError: the file is truncated or corrupt, or holds NaN or infinite values.
    """
    path = image.get_filename()
    samples = Samples(len(volumes), len(index), folder)
    rows = {int(m): i for i, m in enumerate(volumes)}
    try:
        with readable(path), np.errstate(all="ignore"):  # what overflows is infinite, and refused
            slope, inter = np.float32(image.dataobj.slope), np.float32(image.dataobj.inter)
            top = None  # with a slope the largest number may be the brightest voxel's
            kind = image.dataobj.dtype.kind
            if saturated is not None and slope == 1 and inter == 0 and kind in "iu":
                top = np.iinfo(image.dataobj.dtype).max
            for m, volume in enumerate(progress(_ahead(_stored_volumes(image, max(rows) + 1)))):
                if m in rows:
                    stored = np.take(volume, index)
                    row = stored.astype(np.float32) * slope + inter
                    if top is not None:
                        row[stored == top] = saturated
                    if not usable(row).all():
                        raise not_usable(path, row, m)
                    samples.put(rows[m], row)
    except InputError:
        samples.close()
        raise
    return samples


def _stored_volumes(image, count):
    """Yields the first ``count`` volumes as stored, flat, first axis fastest."""
    proxy, path = image.dataobj, Path(image.get_filename())
    if path.suffix != ".gz":
        raw = ArrayProxy(str(path), (proxy.shape, proxy.dtype, proxy.offset, 1.0, 0.0))
        for m in range(count):
            volume = raw if raw.ndim == 3 else raw[:, :, :, m]
            yield np.asarray(volume).ravel(order="F")
        return
    size = int(np.prod(image.shape[:3])) * proxy.dtype.itemsize
    stream = _decompressed(path)
    pending = bytearray()
    wanted = proxy.offset  # the header comes first
    for m in range(-1, count):
        while len(pending) < wanted:
            block = next(stream, None)
            if block is None:
                raise EOFError(f"it ends in volume {m}")
            pending += block
        if m >= 0:
            yield np.frombuffer(bytes(memoryview(pending)[:size]), proxy.dtype)
        del pending[:wanted]
        wanted = size
    if count == math.prod(image.shape[3:]):
        for _ in stream:  # the checksum is at the end
            pass


def _decompressed(path):
    """Yields blocks of a gzip file of one or more members, checksums verified.

    zlib directly, as `gzip.GzipFile` copies every byte through two Python buffers and takes twice
    the time.
    """
    with open(path, "rb") as file:
        inflate, block, began = zlib.decompressobj(31), b"", False
        start, step = 0, _FIRST
        while True:
            if start == len(block):
                block, start = file.read(_BLOCK), 0
                if not block:
                    if began:
                        raise EOFError("its end is missing")
                    return
            if not began:  # zeros may stand behind a member
                while start < len(block) and block[start] == 0:
                    start += 1
            # What is behind a member's end is copied back: short members take short pieces.
            piece = block[start:start + step]
            yield inflate.decompress(piece)
            start += len(piece) - len(inflate.unused_data)
            began, step = bool(piece) and not inflate.eof, _BLOCK
            if inflate.eof:
                inflate, step = zlib.decompressobj(31), _FIRST


def _ahead(iterator):
    """Iterates with the next element already being made in a thread."""
    with ThreadPoolExecutor(1) as thread:
        element = thread.submit(next, iterator, None)
        while (ready := element.result()) is not None:
            element = thread.submit(next, iterator, None)
            yield ready
