"""One scan from files to maps."""

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from gzip import GzipFile
from pathlib import Path

import nibabel as nib
import numpy as np

from dwijax import __version__
from dwijax.dti.elements import ELEMENTS, MM2_PER_S, to_order
from dwijax.errors import InputError, warn
from dwijax.fitting import frames
from dwijax.fitting import naming as names
from dwijax.fitting.maps import MAPS, OF_RESIDUALS, ChunkFit
from dwijax.fitting.samples import read_samples
from dwijax.gradients import GradientTable, fsl_to_world
from dwijax.output import refuse_to_overwrite, refuse_unwritable, whole_files
from dwijax.volumes import header_like


def fit_scan(
    image: nib.Nifti1Image, gtab: GradientTable, mask: np.ndarray, out: Path, *,
    maps: Sequence[str], naming: str = "dwijax", volumes: np.ndarray | None = None,
    grad_dev: np.ndarray | None = None, options: dict | None = None, notes: Sequence[str] = (),
    progress: Callable | None = None, force: bool = False,
) -> dict:
    """Fits tensors to a scan and writes maps.

    Args:
      image: nibabel image ``[X, Y, Z, M]`` that comes from a file.
      gtab: `GradientTable` of its M volumes.
      mask: bool ``[X, Y, Z]``.
      out: folder; nothing appears in it before everything is done.
      maps: names out of `MAPS`.
      naming: one of `NAMINGS`.
      volumes: ascending indices of the volumes to fit; None: all.
      grad_dev: gradient deviations ``[X, Y, Z, 9]`` on the grid of `image`, or None.
      options: keywords of `dti.fit_tensor`.
      notes: lines for the JSON.
      progress: ``(iterable, total, what) -> iterable``, or None.
      force: overwrite maps that are there.

    Returns:
      dict: what is written to the JSON beside the maps.

    Raises:
      InputError: a file is corrupt or not finite, cannot be written, or is there already.
    """
    from dwijax import dti

    progress = progress or (lambda iterable, total, what: iterable)
    volumes = np.arange(len(gtab)) if volumes is None else np.asarray(volumes)
    index = np.flatnonzero(mask.ravel(order="F"))
    world = fsl_to_world(image.affine)
    plan = ChunkFit(
        design=np.asarray(dti.design_matrix(gtab.bvals[volumes], gtab.bvecs[volumes])),
        to_frame=world if names.in_world(naming) else np.eye(3),
        to_world=world,
        maps=tuple(maps),
        options=dict(options or {}),
        grad_dev=grad_dev is not None,
        voxels=len(index),
    )
    source = image.get_filename()
    files = names.file_names(naming, maps, source)
    if os.path.exists(out) and not os.path.isdir(out):
        raise InputError(out, found="a file", expected="a folder for the maps",
                         remedy="choose another output")
    refuse_unwritable(out)
    if not force:
        texts = names.text_files(naming, maps, source, {"options": {}})
        refuse_to_overwrite(out / file for file in (*files.values(), *texts)
                            if file != names.bids.DESCRIPTION)
    spool = next(folder for folder in (out.absolute(), *out.absolute().parents)
                 if os.path.isdir(folder))
    with contextlib.ExitStack() as stack:
        compiled = stack.enter_context(ThreadPoolExecutor(1)).submit(plan.compiled)
        samples = read_samples(
            image, index, volumes, spool,
            lambda rows: progress(rows, int(volumes[-1]) + 1, "read volumes"),
            saturated=0)  # which is left out
        stack.callback(samples.close)
        deviations = None
        if grad_dev is not None:
            deviations = np.stack([grad_dev[..., k].ravel(order="F")[index] for k in range(9)])
        fitted = _fit_chunks(plan, compiled.result(), samples, deviations, progress)
        if fitted["failed"].all():
            raise InputError(source, found="no voxel of the mask with samples that determine a "
                             "tensor",
                             expected="a diffusion-weighted series with a head in the mask",
                             remedy="check image and mask")
        if set(maps) & set(OF_RESIDUALS) and fitted["exact"].any():
            unknown = ", ".join(name for name in maps if name in OF_RESIDUALS)
            notes = [*notes, f"{int(fitted['exact'].sum())} voxels have no more samples than "
                     f"unknowns (7), NaN there: {unknown}"]
            warn(f"{source}: {notes[-1]}")
        summary = _summary(plan, fitted, naming, gtab, volumes, notes) | {"files": files}
        texts = {file: content for file, content in
                 names.text_files(naming, maps, source, summary).items()
                 # That of the dataset, whose other scans are there already, stays.
                 if file != names.bids.DESCRIPTION or not (out / file).exists()}
        paths = stack.enter_context(
            whole_files(out / file for file in (*files.values(), *texts)))
        targets = dict(zip(files, paths, strict=False))
        for path, content in zip(paths[len(files):], texts.values(), strict=True):
            path.write_text(json.dumps(content, indent=2) + "\n")
        writers = stack.enter_context(ThreadPoolExecutor(2))
        jobs = []
        for name, path in targets.items():
            if name == "residuals":
                rows = _residuals(plan, samples, fitted)
                count = len(volumes)
            else:
                rows = fitted[name]
                if name == "tensor":
                    rows = to_order(rows.T, names.ORDERS[naming]).T
                count = MAPS[name]
            jobs.append(writers.submit(_write, path, image, index, rows, count))
        for job in progress(jobs, len(jobs), "write maps"):
            job.result()
    return summary


def _fit_chunks(plan, compiled, samples, deviations, progress):
    """``{name: [k, V]}`` for every output of `ChunkFit`."""
    _, voxels = samples.shape
    out = {}
    starts = range(0, voxels, plan.chunk)
    for start in progress(starts, len(starts), "fit"):
        stop = min(start + plan.chunk, voxels)
        signal = _padded(samples.chunk(start, stop), plan.chunk)
        deviation = np.zeros((0, plan.chunk), np.float32)
        if deviations is not None:
            deviation = _padded(deviations[:, start:stop], plan.chunk)
        for name, value in compiled(signal, deviation).items():
            value = np.asarray(value)[: stop - start]
            if name not in out:
                out[name] = np.empty((*value.shape[1:], voxels), value.dtype)
            out[name][..., start:stop] = value.T
    return out


def _padded(chunk, length):
    if chunk.shape[1] == length:
        return chunk
    return np.pad(chunk, ((0, 0), (0, length - chunk.shape[1])))


def _residuals(plan, samples, fitted):
    """Yields measured minus predicted signal, volume by volume; NaN where a fit is exact."""
    beta = fitted["beta"]
    known = np.where(fitted["exact"], np.float32(np.nan), np.float32(~fitted["failed"]))
    for m, row in enumerate(plan.design):
        measured = samples.row(m)
        yield known * (measured - np.exp(row @ beta))


def _write(path, like, index, rows, count):
    """Writes ``[k, V]`` (or ``[V]``, or k rows one by one) into the voxels ``index``; 0 elsewhere.

    One volume at a time, so that a map of many volumes takes no more memory than one.
    """
    header = header_like(like, like.shape[:3] if count == 1 else (*like.shape[:3], count))
    volume = np.zeros(np.prod(like.shape[:3]), header.get_data_dtype())
    with open(path, "wb") as raw, GzipFile("", "wb", 1, raw, mtime=0) as file:
        header.write_to(file)
        file.write(b"\0" * (header.get_data_offset() - file.tell()))
        for row in [rows] if count == 1 else rows:
            volume[index] = row
            file.write(volume)


def in_words(summary: dict) -> str:
    """What is to be known of a fit, in one line.

    Args:
      summary: of `fit_scan`.
    """
    left_out = "raised to the floor" if "floor" in summary["options"] else "left out"
    return (f"condition number of the tensor design {summary['condition_number']:.1f}; "
            f"{summary['voxels_without_tensor']} voxels without a tensor (0 in all maps), "
            f"{summary['voxels_with_samples_left_out']} with samples near 0 or saturated "
            f"({left_out}), {summary['voxels_with_negative_eigenvalue']} with a negative "
            "eigenvalue")


def _summary(plan, fitted, naming, gtab, volumes, notes):
    from dwijax import dti

    used = gtab[volumes]
    return {
        "dwijax": __version__,
        "voxels": int(plan.voxels),
        "volumes": [int(m) for m in volumes],
        "bvals": [float(b) for b in used.bvals],
        "condition_number": round(dti.condition_number(used.bvals, used.bvecs), 2),
        "options": plan.options,
        "frame": frames.IN_WORDS[frames.SCANNER if names.in_world(naming) else frames.FSL],
        "tensor_elements": [f"D{ELEMENTS[k]}" for k in names.ORDERS[naming]],
        "diffusivity_unit": f"mm2/s ({MM2_PER_S:g} of the um2/ms fitted)",
        "voxels_without_tensor": int(fitted["failed"].sum()),
        "voxels_without_degrees_of_freedom": int(fitted["exact"].sum()),
        "voxels_with_samples_left_out": int(fitted["incomplete"].sum()),
        "voxels_with_negative_eigenvalue": int(fitted["negative"].sum()),
        "notes": list(notes),
    }

