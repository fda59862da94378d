"""One scan from files to a longer scan, its maps with intervals, and a verdict."""

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from dwijax.baselines import acquired
from dwijax.baselines.networks import networks
from dwijax.checking import page as check_page
from dwijax.checking.scan import check_scan
from dwijax.data.files import SubjectFiles
from dwijax.data.phantom import like
from dwijax.data.scan import open_scan
from dwijax.data.subject import Subject, subject_of
from dwijax.enhancing import page
from dwijax.enhancing.adapting import STEPS_PER_SECOND, adapt
from dwijax.enhancing.intervals import intervals
from dwijax.enhancing.judging import FEWEST, hold_back, judge, simulate
from dwijax.enhancing.measured import measured_share
from dwijax.enhancing.mixing import (
    classical,
    held,
    longer,
    mixing_weights,
    mixture,
    predicted,
)
from dwijax.enhancing.verdict import BETTER, decide, shift_in_words
from dwijax.errors import InputError, collecting
from dwijax.evaluation.common.regions import from_fit
from dwijax.fitting import bids
from dwijax.fitting.maps import DEFAULT_MAPS
from dwijax.fitting.naming import file_names, series_files
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable, read_prefix, shells
from dwijax.gradients.shells import listed
from dwijax.inference import load_run
from dwijax.inference.adaptation import about_table
from dwijax.inference.prediction import write_longer, write_sidecar
from dwijax.inference.wanted import extend
from dwijax.output import delivered, refuse_to_overwrite, refuse_unwritable, scratch
from dwijax.report_html import prediction_page
from dwijax.report_html.page import provenance, run_file
from dwijax.volumes import canonical_bvecs, into_volume, save_like

VERDICT = "verdict.json"
MORE_MAPS = ("fa_low", "fa_high", "v1_cone", "measured")
STAGES = ("look", "tune", "adapt", "judge", "predict", "write")


@collecting()
def enhance_scan(files: SubjectFiles, out: Path, *, place: Path, table: Path | None = None,
                 add: int | None = None, shell: float | None = None, seconds: float = 120.0,
                 replace_bad: bool = False, keep_anyway: bool = False, naming: str = "dwijax",
                 force: bool = False, quiet: bool = False) -> dict:
    """Adds directions to a scan, judges by directions of it that were held back whether that makes
    it better, and writes what is better: the longer scan with its maps, or the plain fit.

    Args:
      files: of the scan. out: folder; nothing appears in it before everything is done.
      place: run for any table. table: prefix of the directions wanted. add: how many are wanted.
      shell: b of the shell, s/mm²; needed where there are several.
      seconds: that the network may go on learning on this scan's own kind; 0: as it comes.
      replace_bad: synthesise the directions of volumes that are left out as odd.
      keep_anyway: write the longer scan whatever the verdict is. naming, force, quiet: as of
        `dwijax.inference.prediction.predict_scan`.

    Returns:
      dict: ``verdict`` and what it rests on, ``files``, ``suspect``, ``notes``, ``seconds`` of
      each stage.

    Raises:
      InputError: files that do not fit; fewer than six directions; no white matter in the mask;
        several shells and no ``shell``; outputs that are there already.
    """
    refuse_unwritable(out)
    names = series_files(naming, files.dwi)
    extra = file_names(naming, (*DEFAULT_MAPS, *MORE_MAPS), names["dwi"])
    if not force:
        refuse_to_overwrite(out / name for name in (*names.values(), *extra.values(), VERDICT))
    clock = _Clock(quiet)
    with clock("look"):
        scan, run = open_scan(files), load_run(place)
        if run.config.task != "any_table":
            raise InputError(place, found=f"a run of the task {run.config.task}",
                             expected="a run for any table",
                             remedy="leave --run out: one comes with dwijax")
        looked = check_scan(scan)
        suspect = list(check_page.warnings(looked))
        subject = subject_of(scan, _shell(scan, shell, files))
        grad_dev, turned = scan.grad_dev(subject.stored(subject.mask))
        notes = [*scan.header_notes, *about_table(scan.gtab), *turned]
        odd = _odd(subject, looked)
        left_out, anew = subject.volumes[odd].tolist(), subject.gtab[odd]
        if left_out:
            notes.append(f"volumes {', '.join(map(str, left_out))} are left out: they are far "
                         "brighter or darker than their directions let expect (dwijax check)")
            subject = _without(subject, odd)
        wanted = _wanted(subject, files, table, add, anew if replace_bad else anew[:0],
                         notes)
        whole = acquired(subject)
        plain = fit_maps([whole.signal], whole.gtab)
        regions = _tissues(plain, files)
        suspect += prediction_page.suspect(subject, run.about)
    dwis, errors = whole.gtab.dwis, None
    if len(dwis) >= FEWEST:
        given, judges = hold_back(whole.gtab[dwis])
    else:
        given, judges = np.arange(len(dwis)), None
    shown = whole.inputs(given)  # all that is tuned, adapted and weighted sees
    with clock("tune"):
        ways = classical(shown)
        network = networks(run, "network")
        weights = mixing_weights([network, *ways], shown)
    with clock("adapt"):
        fit = like.fit_scan(shown.scan())
        # Nothing can stop it where nothing is held back.
        steps = round(seconds * STEPS_PER_SECOND) if judges is not None else 0
        candidates = [network]
        if steps:
            with scratch() as folder:
                more = adapt(run, shown.scan(), fit, folder, steps=steps, seed=1,
                             progress=not quiet)
            candidates.append(networks(more, "adapted")._replace(
                label=f"{network.label}, adapted to this scan"))
    with clock("judge"):
        if judges is not None:
            errors = judge(shown, whole.gtab[dwis[judges]], whole.signal[:, dwis[judges]],
                         [*ways, *candidates], plain)
            network = min(candidates, key=lambda way: errors.rmse(way.name))
        best = held(mixture([network, *ways], weights), len(dwis) / (len(dwis) + len(wanted)))
        if errors is not None:
            errors = errors.joined(judge(shown, whole.gtab[dwis[judges]],
                                     whole.signal[:, dwis[judges]], [best], plain))
        twin = simulate(subject, fit, wanted, best)
    with clock("predict"):
        made = predicted(best, whole, wanted)
        enhanced = fit_maps([whole.signal, made], longer(whole.gtab, wanted))
        shift = {name: float(np.mean((enhanced.fa - plain.fa)[region & plain.determined]))
                 for name, region in regions.items()}
        verdict = decide(errors, twin, classical=[way.name for way in ways], shift=shift)
        kept = verdict.verdict == BETTER or keep_anyway
        ranges = intervals(twin, (enhanced if kept else plain).fa, enhanced=kept)
        share = measured_share(subject, fit.sigma * fit.relative, wanted, best, plain, enhanced)
    told = f"what fills in: {best.label}"
    if steps:
        told += (f"; {steps} steps of learning from subjects like this scan made it "
                 + ("better" if network.name == "adapted" else "no better: as it comes"))
    notes.append(told)
    lines = [verdict.sentence]
    if not kept:
        lines.append("The maps are those of the acquired volumes alone (--keep-anyway writes the "
                     "others)")
    elif told := shift_in_words(shift):
        lines.append(told)
    series = _onto(subject, made * np.float32(subject.scale)) if kept else np.zeros(
        (*subject.mask.shape, 0), np.float32)
    table = wanted if kept else wanted[:0]
    with clock("write"), delivered(out, force=force, keep=(bids.DESCRIPTION,)) as folder:
        written = write_longer(folder, names, naming, scan, subject, series, table,
                               grad_dev)
        notes.append(written.note)
        for name, values in zip(MORE_MAPS, (*ranges, share if kept else np.ones_like(share)),
                                strict=True):
            save_like(folder / extra[name],
                      subject.stored(into_volume(values, subject.mask)), scan.image)
        facts = {**verdict.facts, "kept": bool(kept), "weights": {
            p.name: float(w) for p, w in zip([network, *ways], weights, strict=True)},
            "adaptation_steps": steps, "adapted": network.name == "adapted",
            "left_out_volumes": left_out, "seconds": clock.seconds}
        (folder / VERDICT).write_text(json.dumps(facts, indent=1) + "\n")
        write_sidecar(folder / names["json"], naming, files, {
            "synthetic_volumes": list(range(scan.image.shape[3],
                                            scan.image.shape[3] + len(table))),
            "run": str(Path(place).resolve()), "verdict": verdict.sentence,
            "notes": notes, "suspect": suspect, "versions": run.about["versions"],
            "fit": written.facts})
        page.write(folder / names["page"], prediction_page.title_of(files.dwi), subject,
                   plain=plain, enhanced=enhanced, ranges=ranges, share=share,
                   lines=lines, suspect=suspect,
                   notes=notes, verdict=verdict, held=errors, twin=twin, axis=run.config.data.axis,
                   provenance=provenance(run.about, [files.dwi, files.bval, files.bvec, files.mask,
                                                     run_file(place)]))
    return {**facts, "answer": lines, "measured": scan.image.shape[3], "synthetic": len(table),
            "files": {**names, "verdict": VERDICT}, "suspect": suspect, "notes": notes}


class _Clock:
    """Says which stage has begun, and keeps how long each took."""

    def __init__(self, quiet):
        self.seconds, self._quiet, self._begun = {}, quiet, time.monotonic()

    @contextmanager
    def __call__(self, stage):
        begun = time.monotonic()
        if not self._quiet:
            number = STAGES.index(stage) + 1
            print(f"[{number}/{len(STAGES)}] {stage} (after {begun - self._begun:.0f} s)",
                  file=sys.stderr, flush=True)
        yield
        self.seconds[stage] = round(time.monotonic() - begun, 1)


def _shell(scan, asked, files):
    """b of the shell that is enhanced."""
    there = [float(np.median(scan.gtab.bvals[index])) for nominal, index in
             shells(scan.gtab.bvals, scan.gtab.b0_threshold) if nominal]
    if asked is None and len(there) > 1:
        raise InputError(files.bval, found=listed(scan.gtab), expected="one shell",
                         remedy="say which one with --shell B")
    if not there:
        raise InputError(files.bval, found=listed(scan.gtab), expected="a shell of directions",
                         remedy="fit all b-values with dwijax fit")
    return there[0] if asked is None else asked


def _odd(subject, looked):
    """Positions of directions that `dwijax check` calls odd as a whole."""
    found = [volume for volume, _ in looked.series.odd_volumes]
    return np.flatnonzero(np.isin(subject.volumes, found) & ~subject.gtab.b0s_mask)


def _without(subject, positions):
    positions = np.setdiff1d(np.arange(len(subject.gtab)), positions)
    return replace(subject, dwi=np.ascontiguousarray(subject.dwi[..., positions]),
                   gtab=subject.gtab[positions], volumes=subject.volumes[positions])


def _wanted(subject, files, table, add, anew, notes) -> GradientTable:
    """The directions that are added, and those to be made ``anew``, along the subject's axes."""
    asked, where = None, None
    if table is not None:
        asked, where = read_prefix(table, files.b0_threshold)
        asked = replace(asked, bvecs=canonical_bvecs(asked.bvecs, subject.orientation))
    found = extend(subject, table=asked, add=add, where=files.bvec, where_table=where)
    notes += found.notes
    return longer(found.gtab, anew)


def _tissues(plain, files):
    found = from_fit(plain.fa, plain.md)
    found = {name: found[name] for name in ("brain", "WM", "GM")}
    for name, region in found.items():
        if not (region & plain.determined).any():
            raise InputError(
                files.mask or files.dwi, found=f"no {name} voxel with a tensor in the mask",
                expected="a head with white and grey matter",
                remedy="check mask, b-values and directions (dwijax check)")
    return found


def _onto(subject: Subject, values: np.ndarray) -> np.ndarray:
    """Voxels ``[V, K]`` as volumes, nowhere negative nor above all that was measured there."""
    most = np.maximum(subject.dwi[subject.mask].max(axis=1, keepdims=True), 0)
    return into_volume(np.clip(values, 0, most), subject.mask)
