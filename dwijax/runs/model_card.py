"""The model card of an exported run: what the networks are for, and what they are not."""

import numpy as np

_INTENDED = """\
Research on diffusion MRI. {purpose}
Not a medical device: nothing here has been tested for diagnosis.
"""
_PURPOSE = {
    "direction_synthesis": "The networks synthesise further diffusion-weighted volumes of a scan, "
    "so that tensor maps\n(FA, MD, directions) of a short scan come nearer to those of a longer "
    "one.",
    "any_table": "A network adds diffusion-weighted volumes of any directions to a scan of 6 to 90 "
    "directions\nof one shell, so that tensor maps of a short scan come nearer to those of a "
    "longer one.",
    "map_regression": "The networks estimate tensor maps (such as FA, MD, directions) from few "
    "diffusion-weighted\nvolumes.",
}

_ONE_TABLE = """\
- They know one gradient table, in this file, and one b-value; scans with another table have to be
  resampled first.
"""
_ANY_TABLE = """\
- It has learnt from simulated scans of b = {b[0]:g} to {b[1]:g} s/mm², whose ln S is proportional
  to b, SNR of the b0s {snr[0]:g} to {snr[1]:g}, {directions[0]} to {directions[1]} directions.
  Other scans are outside of training.
"""
_WARNINGS = """\
- Synthetic volumes bring no information of their own. Leave them out of eddy correction, denoising,
  kurtosis and deconvolution, and never count them as acquired.
- What they gain they gain largely by looking at neighbouring voxels: small structures and lesions
  that the training data did not show may be smoothed.
- On other scanners, resolutions, noise levels, ages or diseases than those trained on, compare with
  spherical harmonics before trusting them (`dwijax check`, `eval.py`).
"""


def markdown(about, results, notes=()):
    """The card.

    Args:
      about: description of the run, with ``training``.
      results: lines of Markdown about the evaluation, may be empty.
      notes: lines about the training data.

    Returns:
      str.
    """
    config, table, subjects = about["config"], about["table"], about["subjects"]
    bvals = np.asarray(table["bvals"])
    any_table = config["task"] == "any_table"
    simulated = str(subjects["origin"]).startswith("phantom")
    origin = "simulated subjects, scanned anew in every step" if any_table else (
        f"{'simulated (' + subjects['origin'] + ')' if simulated else 'measured'} scans, "
        f"b = {config['data']['shell']:g} s/mm²")
    counts = ", ".join(f"{len(subjects[part])} {part}" for part in ("train", "validation", "test"))
    training = about["training"]
    return "\n".join([
        f"# dwijax run: {config['task'].replace('_', ' ')}",
        "",
        "## Intended use",
        "",
        _INTENDED.format(purpose=_PURPOSE[config["task"]]),
        "## Networks",
        "",
        f"- {_outputs(config, table, bvals)}",
        f"- {config['model']['name']}, {training.get('steps', 'unknown')} steps of "
        f"{config['batch']} slices, seed {about['seed']}",
        *(f"- {name.replace('_', ' ')}: {training[name]:.4e}"
          for name in ("loss", "validation_loss") if name in training),
        f"- normalisation: {about['normalisation']['rule']}",
        "",
        "## Training data",
        "",
        f"- {origin}: {counts}"
        + (" (slabs of one scan)" if subjects["within_subject"] else ""),
        *(f"- {note}" for note in notes),
        "",
        "## Evaluation",
        "",
        *(results or ["Not evaluated before it was exported."]),
        "",
        "## Warnings",
        "",
        (_ANY_TABLE.format(**config["scans"]) if any_table else _ONE_TABLE) + _WARNINGS,
        "## Made with",
        "",
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "",
    ])


def _outputs(config, table, bvals):
    if config["task"] == "any_table":
        seeds = config["seeds"]
        return f"harmonics of the signal, order {config['scans']['order']}; " + (
            f"{seeds} networks, whose mean counts" if seeds > 1 else "one network")
    if config["task"] == "map_regression":
        found = ", ".join(config["targets"])
    else:
        found = f"{len(table['bvals']) - table['inputs']} further directions"
    return (f"{found} from {table['inputs']}; one table of {len(bvals)} directions "
            f"at b = {bvals.min():.0f} to {bvals.max():.0f} s/mm²")
