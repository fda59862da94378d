"""A folder of simulated subjects."""

import hashlib
import json
import multiprocessing
import signal
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import scipy
from tqdm import tqdm

import dwijax
from dwijax.data.phantom.recipe import RECIPES
from dwijax.data.phantom.store import write_subject
from dwijax.data.phantom.subject import Settings, simulate_subject
from dwijax.errors import InputError, warn
from dwijax.gradients import GradientTable, direction_set, repeats_in_words, shells
from dwijax.gradients.directions import added_directions
from dwijax.gradients.shells import listed
from dwijax.output import whole
from dwijax.process import interruption
from dwijax.schema import read_json, validate
from dwijax.volumes import canonical_bvecs

B0 = 5.0  # s/mm^2, as HCP's b0 volumes have it
RECORD = "phantom.json"


def acquisition(n_directions=90, shells=(1000.0,), b0s=6, averages=1):
    """The default table: b0 volumes evenly between the directions' volumes, the first one first.

    Args:
      n_directions: per shell; every shell has the same ones.
      shells: b-values, s/mm^2.
      b0s: number of volumes with b = 5 s/mm^2.
      averages: how often every direction is acquired, one whole set after the other.
    """
    directions = np.tile(direction_set(n_directions), (averages, 1))
    bvals = np.concatenate([[B0] * b0s, *([b] * len(directions) for b in shells)])
    bvecs = np.concatenate([np.tile(directions[:1], (b0s, 1)), *([directions] * len(shells))])
    return GradientTable(bvals, bvecs)


def make_settings(
    *, seed=0, generator="default", snr=None, shape=(56, 68, 24), voxel_size=2.5, gtab=None,
    n_directions=90, shells=(1000.0,), b0s=6, averages=1, lesions=False, varying_noise=False,
    rotate_degrees=0.0,
):
    """Checks and completes what :func:`simulate` was asked for.

    Raises:
      InputError: a value that cannot be simulated.
    """
    _check("generator", generator in RECIPES, generator, " or ".join(RECIPES))
    _check("seed", int(seed) >= 0, seed, "a whole number from 0 up")
    size = np.broadcast_to(np.asarray(voxel_size, float), 3)
    _check("voxel size", (size >= 0.5).all() and (size <= 6).all(), voxel_size, "0.5 to 6 mm")
    shape = tuple(int(n) for n in shape)
    _check("shape", len(shape) == 3 and min(shape) >= 4, shape, "three lengths of at least 4")
    _check("snr", snr is None or snr > 0, snr, "a number above 0")
    if gtab is None:
        _check("directions", n_directions >= 1, n_directions, "at least 1")
        _check("shells", len(shells) and min(shells) > 50, shells, "b-values above 50 s/mm²")
        _check("b0s", b0s >= 1, b0s, "at least 1 b0 volume")
        _check("averages", averages >= 1, averages, "at least 1")
        gtab = acquisition(n_directions, shells, b0s, averages)
    _check("gradient table", gtab.b0s_mask.any(), "no b0", "at least one b0 volume")
    return Settings(
        seed=int(seed),
        generator=generator,
        bvals=tuple(map(float, gtab.bvals)),
        bvecs=tuple(tuple(map(float, g)) for g in gtab.bvecs),
        shape=shape,
        voxel_size=tuple(map(float, size)),
        snr=None if snr is None else float(snr),
        lesions=bool(lesions),
        varying_noise=bool(varying_noise),
        rotate_degrees=float(rotate_degrees),
    )


def settings_hash(settings: Settings):
    """Sixteen hexadecimal digits that change with anything which changes a subject's bits."""
    recipe = repr(RECIPES[settings.generator])
    text = json.dumps([settings.as_dict(), recipe, VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


VERSION = 1  # of the simulation's code: raised when the same settings give other bits


def simulate(out, *, subjects, first=0, prefix="sub-", workers=2, progress=True, **options):
    """Writes simulated subjects in HCP layout, each with its truth folder.

    Subject ``i`` depends on the settings and on ``i`` alone.  A folder that holds the subjects
    already is left alone; missing ones are added.

    Args:
      out: folder; made if need be.
      subjects: how many.
      first: index of the first one.
      prefix: of their names, ``{prefix}{index:03d}``.
      workers: how many processes, or those of :func:`simulators`.
      progress: whether to show a bar.
      **options: see :func:`make_settings`.

    Returns:
      List of names.

    Raises:
      InputError: a value that cannot be simulated, or ``out`` holds something else.
    """
    _check("subjects", int(subjects) >= 1, subjects, "at least 1")
    out, settings = Path(out), make_settings(**options)
    return _simulate(out, subjects, first, prefix, progress, settings.generator,
                     {"hash": settings_hash(settings), "settings": settings.as_dict()},
                     lambda missing: _write_all(out, settings, missing, workers))


def simulate_scans_like(out, files, *, subjects, shell=None, table=None, add=0, seed=0, snr=None,
                        first=0, prefix="like-", progress=True, **changes):
    """Writes subjects made like a scan (`dwijax.data.phantom.like`), in the same layout.

    Args:
      out, subjects, first, prefix, progress: as :func:`simulate`.
      files: `dwijax.data.files.SubjectFiles` of the scan.
      shell: its b-value, s/mm²; may be left out where there is one.
      table: `GradientTable` that the subjects are scanned by, FSL's directions of the scan's image;
        default: the scan's shell and b0s.
      add: directions to add to the scan's own (`dwijax.gradients.directions.added_directions`).
      seed, snr, changes: of `dwijax.data.phantom.like.LikeSettings`.

    Returns:
      List of names.

    Raises:
      InputError: as :func:`simulate`, or the scan cannot be used.
    """
    from dwijax.data.phantom import like
    from dwijax.data.scan import open_scan
    from dwijax.data.subject import subject_of

    _check("subjects", int(subjects) >= 1, subjects, "at least 1")
    _check("seed", int(seed) >= 0, seed, "a whole number from 0 up")
    _check("snr", snr is None or snr > 0, snr, "a number above 0")
    scan = open_scan(files)
    if shell is None:
        gtab = scan.gtab
        there = [b for b, _ in shells(gtab.bvals, gtab.b0_threshold) if b]
        _check(files.bval, len(there) == 1, listed(gtab), "one shell",
               "say which one: --shells B" if there else "give a scan with shells")
        shell = there[0]
    subject = subject_of(scan, shell, min_directions=6)
    _check(files.dwi, min(subject.mask.shape) >= 2,
           f"shape {'×'.join(map(str, subject.mask.shape))}", "two voxels along each axis",
           "give more slices")
    held = int(subject.mask.sum())
    _check(files.mask or files.dwi, held >= like.LEAST, f"{held} voxels in the mask",
           f"at least {like.LEAST}", "give a mask of the brain")
    for line in repeats_in_words(subject.gtab, subject.volumes):
        warn(f"{files.bvec}: {line}")
    if add:
        own = subject.gtab[~subject.gtab.b0s_mask]
        more = added_directions(own.bvecs, add)
        bvals = np.r_[subject.gtab.bvals, np.full(add, np.median(own.bvals))]
        changes["table"] = _plain(bvals, np.concatenate([subject.gtab.bvecs, more]))
    elif table is not None:
        _check(files.bval, table.b0s_mask.any() and not table.b0s_mask.all(), listed(table),
               "b0s and directions in --table", "give a whole table")
        changes["table"] = _plain(
            table.bvals, canonical_bvecs(table.bvecs, subject.orientation))
    out, identity = Path(out), like.identity(subject)
    settings = like.LikeSettings(int(seed), identity, float(shell), snr, **changes)

    def write(missing):
        fit = like.fit_scan(subject, progress) if missing else None
        for name, index in missing.items():
            write_subject(out / name, like.simulate_like(fit, settings, index))
            yield name

    return _simulate(out, subjects, first, prefix, progress, "like a scan",
                     {"hash": settings.hash(), "settings": settings.as_dict(), "like": identity},
                     write)


def _plain(bvals, bvecs):
    return tuple((float(b), *map(float, g)) for b, g in zip(bvals, bvecs, strict=True))


def _simulate(out, subjects, first, prefix, progress, told, record, write):
    """Names of the subjects; ``write(missing)`` writes those that are not there, one a turn."""
    names = {f"{prefix}{index:03d}": index for index in range(first, first + int(subjects))}
    _claim(out, record)
    missing = {n: i for n, i in names.items() if not (out / n).is_dir()}
    bar = tqdm(total=len(missing), desc=f"simulate {told}", unit="subject",
               disable=(not progress or not missing) or None)
    try:
        with bar:
            for _ in write(missing):
                bar.update()
    except OSError as error:
        raise InputError(
            out, found=f"it cannot be written ({error.strerror or error})",
            expected="a writable place with free space",
            remedy="choose another folder or free some space, then run the same command again",
        ) from error
    return list(names)


@contextmanager
def simulators(workers=2):
    """Processes for several calls of :func:`simulate`, as each takes seconds to start."""
    # Never fork: the parent may hold a running JAX.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _on_cpu) as pool:
        interruption.shield()
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _write_all(out, settings, missing, workers):
    """Yields once per subject written."""
    if isinstance(workers, Executor):
        futures = [workers.submit(_write_one, out, settings, n, i) for n, i in missing.items()]
        for future in as_completed(futures):
            yield future.result()
    elif min(workers, len(missing)) <= 1:
        for name, index in missing.items():
            _write_one(out, settings, name, index)
            yield name
    else:
        with simulators(min(workers, len(missing))) as pool:
            yield from _write_all(out, settings, missing, pool)


def _write_one(out, settings, name, index):
    write_subject(out / name, simulate_subject(settings, index))
    return name


def _on_cpu():
    """Workers leave accelerators, and the answer to Ctrl-C, to the parent, which ends them."""
    signal.signal(signal.SIGTERM, lambda number, _: interruption.end(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import jax

    jax.config.update("jax_platforms", "cpu")


def read_record(folder):
    """The record of its settings that a simulation leaves in its folder, a dict.

    Raises:
      InputError: it cannot be read or is no such record.
    """
    about = {"expected": "the record of a simulation",
             "remedy": "choose another folder or remove this one"}
    return validate(read_json(folder / RECORD, **about), {str: object}, folder / RECORD,
                    remedy=about["remedy"])


def _claim(out, content):
    """Writes the record of a new folder, or checks that an old one has the same settings."""
    record, code = out / RECORD, content["hash"]
    if record.is_file():
        found = read_record(out).get("hash", "no hash")
        _check(record, found == code, f"a phantom with other settings ({found})",
               f"the settings asked for ({code})", "choose another folder or remove this one")
        return
    if out.exists():
        _check(out, out.is_dir(), "a file", "a folder", "choose another name")
        _check(out, not any(out.iterdir()), f"files, but no {RECORD}", "an empty folder",
               "choose another folder")
    versions = {"dwijax": dwijax.__version__, "simulation": VERSION, "numpy": np.__version__,
                "scipy": scipy.__version__, "nibabel": nibabel.__version__}
    with whole(record) as temporary:
        temporary.write_text(json.dumps(content | {"versions": versions}, indent=1) + "\n")


def _check(where, holds, found, expected, remedy="choose another value"):
    if not holds:
        raise InputError(where, found=found, expected=expected, remedy=remedy)
