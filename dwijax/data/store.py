"""A cohort's slices on disk, compressed, each readable by itself.

    STORE/
      store.json                          everything but the arrays, with a checksum of its bytes
      {train,validation}/SUBJECT/
        b0    zarr v3 [S, H, W, 1] float32
        dwi   zarr v3 [S, H, W, n] float32
        mask  zarr v3 [S, H, W, 1] uint8

Intensities are the file's, which compress several times better than their quotients by the scale,
and slices are as large as the subject's: scaled and padded when they are read, they are bit for
bit what :func:`dwijax.data.cohort.load_slices` makes of the files, for any network and any crop.
One slice is one chunk, and 32 of them, with a checksum each, one file. Test subjects are listed
only: they are judged as whole volumes, read from their files.
"""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorstore as ts

from dwijax.data.channels import B0, Directions
from dwijax.data.cohort import Cohort, Loaded, Member, brain_slices
from dwijax.data.description import (
    ARRAYS,
    FILES,
    PARTS,
    REMEDY,
    SIDECAR,
    read_description,
    write_description,
)
from dwijax.data.files import SubjectFiles
from dwijax.data.screening import leave_out, refusal
from dwijax.data.slices import Batch, Slices, common_size, crop_bounds, cut, extents
from dwijax.data.subject import load_subject
from dwijax.errors import InputError, warn
from dwijax.gradients import GradientTable, repeats_in_words
from dwijax.gradients.matching import in_order_of
from dwijax.output import whole_folder

SHARD = 32  # slices in a file


def write_store(path, cohort, *, shell, axis, force=False, skip_bad=False, progress=iter):
    """Writes the training and validation slices of a cohort, one subject in memory at a time.

    Args:
      path: folder to make; it appears once it is complete.
      cohort: :class:`dwijax.data.cohort.Cohort`.
      shell: b-value, s/mm². axis: of the slices. force: replace a store that is there.
      skip_bad: leave out, each with a line, subjects that cannot be used.
      progress: wraps the list of subjects (tqdm).

    Returns:
      ``(cohort, slices, bytes before compression, bytes on disk)``, the cohort without those that
      were left out.

    Raises:
      InputError: a subject cannot be read or has other directions than the first (with
        `skip_bad`: most of them); the folder is there already or cannot be written.
    """
    _place(Path(path))
    subjects = {part: [] for part in (*PARTS, "test")}
    used = {part: [] for part in PARTS}
    members = [(part, member) for part in PARTS for member in getattr(cohort, part)]
    first, slices, plain, bad = None, 0, 0, {}
    with whole_folder(path, replace=SIDECAR if force else None) as folder:
        for part, member in progress(members):
            name = member.files.name
            try:
                subject = load_subject(member.files, shell=shell)
                if first:
                    subject = in_order_of(subject, first[1], where=member.files.bvec, name=first[0])
            except InputError as error:
                bad[name] = error
                if not skip_bad:
                    raise refusal(bad, len(members), path) from None
                leave_out(name, error)
                continue
            if not first:
                for line in repeats_in_words(subject.gtab, subject.volumes):
                    warn(f"{member.files.bvec}: {line}")
            entry = _write_member(folder / part / name, member, subject, axis)
            del subject
            entry = _listed(member) | entry
            first = first or (name, _table(entry))
            subjects[part].append(entry)
            used[part].append(member)
            count, height, width, n = entry["shape"]
            slices += count
            plain += 4 * count * height * width * (n + 2)
        if bad and not (len(bad) <= len(members) // 2 and all(used.values())):
            raise refusal(bad, len(members), path, skippable=False)
        subjects["test"] = [_listed(member) for member in cohort.test]
        stored = write_description(folder, {
            "shell": shell, "axis": axis, "within_subject": cohort.within_subject,
            "origin": cohort.origin, "subjects": subjects})
    return cohort._replace(**used), slices, plain, stored


class Store(NamedTuple):
    """An open store: ``cohort`` is that of the files it was made of."""

    path: Path
    shell: float
    axis: int
    cohort: Cohort
    subjects: dict

    def slices(self, part, channels, *, multiple, patch, names=None):
        """As :func:`dwijax.data.cohort.load_slices`, but nothing is read yet.

        Args:
          part: "train" or "validation".
          channels: as of `dwijax.data.cohort.load_slices`; `B0` and `Directions` alone, which a
            store holds.
          multiple: H and W are padded up to it.
          patch: side of the crops, 0 for whole slices.
          names: of its subjects, those to use, in this order; default: all.

        Returns:
          `dwijax.data.cohort.Loaded` with `StoredSlices`.

        Raises:
          InputError: the arrays cannot be opened, or do not hold a channel.
        """
        entries = self.subjects[part]
        if names is not None:
            by_name = {entry["name"]: entry for entry in entries}
            entries = [by_name[name] for name in names]
        size = common_size([entry["shape"][1:3] for entry in entries], multiple, patch)
        tables = [_table(entry) for entry in entries]
        scales = {entry["name"]: entry["scale"] for entry in entries}
        b0s = entries[-1]["b0s"]
        wanted = channels(tables[0], b0s)
        for name, channel in wanted.items():
            if type(channel) not in (B0, Directions):
                raise InputError(self.path, found=f"no channel {name!r}",
                                 expected="b0 and directions as they were measured, which it holds",
                                 remedy="train from files (--config.data.layout)")
        slices = StoredSlices(self.path / part, entries, wanted, size, patch)
        return Loaded(slices, tables, scales, b0s)


class StoredSlices:
    """Slices of many subjects that are read when they are asked for.

    Attributes:
      count: S. size: ``(H, W)``, padded. channels: of the images, by name.
      origins: int32 ``[S, 2, 2]``, as of `Slices`.
    """

    def __init__(self, folder, entries, channels, size, patch):
        """Opens the arrays of all subjects; see :meth:`Store.slices`."""
        # Indices of shards stay in memory; a decoded slice is seldom asked for again soon.
        context = ts.Context({"cache_pool": {"total_bytes_limit": 2**24}})
        opening = [[_open(folder / e["name"] / name, context) for name in ARRAYS] for e in entries]
        self._arrays = [[_done(future, folder / e["name"]) for future in futures]
                        for e, futures in zip(entries, opening, strict=True)]
        for entry, arrays in zip(entries, self._arrays, strict=True):
            found, wanted = [list(a.shape) for a in arrays], entry["shape"]
            if found != [wanted[:3] + [1], wanted, wanted[:3] + [1]]:
                raise InputError(folder / entry["name"], found=f"arrays of {found}",
                                 expected=f"{wanted[0]} slices of {wanted[1:]}", remedy=REMEDY)
        self._folders = [folder / entry["name"] for entry in entries]
        self._scales = [np.float32(entry["scale"]) for entry in entries]
        counts = [entry["shape"][0] for entry in entries]
        self._first = np.cumsum([0, *counts])
        self.count, self.size, self.channels = sum(counts), tuple(size), channels
        padded = [np.asarray(e["extents"], np.int32) + _margin(e["shape"][1:3], size)
                  for e in entries]
        self.origins = crop_bounds(np.concatenate(padded), size, patch)

    @property
    def nbytes(self):
        """Of all slices in memory."""
        return self.count * bytes_of(self.channels, self.size)

    def read(self, index, origins=None, patch=0):
        """Reads slices or crops of them, all at once.

        Args:
          index: slice numbers, ``[N]``.
          origins: first row and column of each crop, ``[N, 2]``; None with whole slices.
          patch: side of the crops; 0 for whole slices.

        Returns:
          `dwijax.data.slices.Batch`.

        Raises:
          InputError: a file is missing, truncated or altered.
        """
        index = np.asarray(index)
        origins = np.zeros((len(index), 2), int) if origins is None else np.asarray(origins)
        owners = np.searchsorted(self._first, index, side="right") - 1
        pending = [[array[int(i - self._first[k])].read() for array in self._arrays[k]]
                   for i, k in zip(index, owners, strict=True)]
        size = (patch, patch) if patch else self.size
        batch = _zeros(self.channels, (len(index), *size))
        for i, (futures, k) in enumerate(zip(pending, owners, strict=True)):
            b0, dwi, mask = (_done(future, self._folders[k]) for future in futures)
            there, here = self._windows(mask.shape[:2], origins[i], size)
            for name, channel in self.channels.items():
                stored = b0 if isinstance(channel, B0) else dwi[..., channel.positions]
                np.divide(stored[there], self._scales[k], out=batch.images[name][i][here])
            batch.weight[i][here] = mask[there]
        return batch._replace(draw=index.astype(np.uint32))

    def load(self, progress=iter):
        """All of them: `dwijax.data.slices.Slices`. ``progress`` wraps the list of subjects."""
        all_of_them = _zeros(self.channels, (self.count, *self.size))
        for first in progress(range(0, self.count, SHARD)):
            index = np.arange(first, min(first + SHARD, self.count))
            batch = self.read(index)
            for name, image in batch.images.items():
                all_of_them.images[name][index] = image
            all_of_them.weight[index] = batch.weight
        return Slices(all_of_them.images, all_of_them.weight, self.origins)

    def _windows(self, plane, origin, size):
        """Where a crop of the padded slice lies in the stored slice, and where that goes in it."""
        there, here = [], []
        starts = np.asarray(origin) - _margin(plane, self.size)
        for stored, start, wanted in zip(plane, starts.tolist(), size, strict=True):
            first, last = max(start, 0), min(start + wanted, stored)
            there.append(slice(first, last))
            here.append(slice(first - start, last - start))
        return tuple(there), tuple(here)


def bytes_of(channels, size):
    """Of one slice or crop of ``size`` ``(h, w)`` in memory: all its channels and its weight."""
    return 4 * int(np.prod(size)) * (1 + sum(channel.count for channel in channels.values()))


def _zeros(channels, shape):
    return Batch({name: np.zeros((*shape, channel.count), np.float32)
                  for name, channel in channels.items()}, np.zeros((*shape, 1), np.float32))


def open_store(path):
    """Opens a store that `write_store` made.

    Returns:
      :class:`Store`.

    Raises:
      InputError: there is none, or as `dwijax.data.description.read_description`.
    """
    path = Path(path)
    about = read_description(path)
    subjects = about["subjects"]
    members = {part: [_member(entry) for entry in entries] for part, entries in subjects.items()}
    cohort = Cohort(**members, within_subject=about["within_subject"], origin=about["origin"])
    return Store(path, about["shell"], about["axis"], cohort, subjects)


def _write_member(folder, member, subject, axis):
    """Writes the arrays of one subject, a file's worth of slices at a time; describes them."""
    positions = brain_slices(member, subject.mask, axis)
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    plane = [n for i, n in enumerate(subject.mask.shape) if i != axis]
    directions = subject.gtab.dwis
    n = len(directions)
    shape = [len(positions), *plane, n]
    arrays = [_done(_create(folder / name, shape[:3] + [channels], dtype, context), folder)
              for name, channels, dtype in zip(ARRAYS, (1, n, 1), ("float32", "float32", "uint8"),
                                               strict=True)]
    found = []
    for start in range(0, len(positions), SHARD):
        window = slice(start, start + SHARD)
        b0, dwi, mask = (cut(volume, positions[window], axis=axis) for volume in (
            subject.b0, subject.dwi[..., directions], subject.mask))
        found += extents(mask[..., 0] > 0).tolist()
        pieces = b0, dwi, mask.astype(np.uint8)
        for array, piece in zip(arrays, pieces, strict=True):
            _done(array[start:start + len(piece)].write(piece), folder)
    table = subject.gtab[subject.gtab.dwis]
    return {"shape": shape, "positions": positions.tolist(), "extents": found,
            "scale": float(subject.scale), "b0s": len(subject.gtab.b0s),
            "bvals": table.bvals.tolist(), "bvecs": table.bvecs.tolist()}


def _table(entry):
    return GradientTable(np.asarray(entry["bvals"]), np.asarray(entry["bvecs"]),
                         entry["files"]["b0_threshold"])


def _margin(plane, size):
    """Rows and columns of zeros before a slice, as `dwijax.volumes.pad_to` adds them."""
    return (np.asarray(size, np.int32) - np.asarray(plane, np.int32)) // 2


def _listed(member):
    files = {kind: str(value.absolute()) if isinstance(value, Path) else value
             for kind, value in asdict(member.files).items() if kind != "name"}
    slices = None if member.slices is None else np.asarray(member.slices).tolist()
    return {"name": member.files.name, "files": files, "slices": slices}


def _member(entry):
    files = {kind: Path(value) if value and kind in FILES else value
             for kind, value in entry["files"].items()}
    slices = None if entry["slices"] is None else np.asarray(entry["slices"], np.int64)
    return Member(SubjectFiles(entry["name"], **files), slices)


def _create(path, shape, dtype, context):
    """LZ4 after a transposition of bits: the fastest to read of those that compress well."""
    numbers = {"name": "bytes"} if dtype == "uint8" else {
        "name": "bytes", "configuration": {"endian": "little"}}
    packed = {"name": "blosc", "configuration": {
        "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle",
        "typesize": np.dtype(dtype).itemsize}}
    index = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {"name": "sharding_indexed", "configuration": {
        "chunk_shape": [1, *shape[1:]], "codecs": [numbers, packed, {"name": "crc32c"}],
        "index_codecs": [index, {"name": "crc32c"}]}}
    return ts.open({
        "driver": "zarr3", "kvstore": _place(path), "store_data_equal_to_fill_value": True,
        "metadata": {
            "shape": shape, "data_type": dtype, "codecs": [sharding],
            "chunk_grid": {"name": "regular", "configuration": {
                "chunk_shape": [min(SHARD, shape[0]), *shape[1:]]}}},
    }, create=True, context=context)


def _open(path, context):
    # A chunk that is not there is a fault, not a slice of zeros.
    return ts.open({"driver": "zarr3", "kvstore": _place(path), "fill_missing_data_reads": False},
                   open=True, read=True, context=context)


def _place(path):
    """Where an array is; TensorStore takes names in UTF-8 only."""
    path = str(path.absolute())
    try:
        if b"\0" in path.encode():
            raise ValueError
    except ValueError:
        raise InputError(path, found="a name that is no UTF-8 or holds a null byte",
                         expected="a folder for a slice store",
                         remedy="choose another name") from None
    return {"driver": "file", "path": path}


def _done(future, where):
    """What TensorStore was asked for; its errors are about the files."""
    try:
        return future.result()
    except (ValueError, OSError, KeyError) as error:
        raise InputError(where, found=f"arrays that fail ({str(error)[:200]})",
                         expected="a whole slice store on a disk with free space",
                         remedy=REMEDY) from error
