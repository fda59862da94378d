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
    "map_regression": "The networks estimate tensor maps (such as FA, MD, directions) from few "
    "diffusion-weighted\nvolumes.",
}

_WARNINGS = """\
- They know one gradient table, in this file, and one b-value; scans with another table have to be
  resampled first.
- Synthetic volumes bring no information of their own. Leave them out of eddy correction, denoising,
  kurtosis and deconvolution, and never count them as acquired.
- What they gain they gain largely by looking at neighbouring voxels: small structures and lesions
  that the training data did not show may be smoothed.
- On other scanners, resolutions, noise levels, ages or diseases than those trained on, compare with
  spherical harmonics before trusting them (`dwijax check`, `eval.py`).
"""


def markdown(about, results):
    """The card.

    Args:
      about: description of the run, with ``training``.
      results: lines of Markdown about the evaluation, may be empty.

    Returns:
      str.
    """
    config, table, subjects = about["config"], about["table"], about["subjects"]
    bvals = np.asarray(table["bvals"])
    simulated = str(subjects["origin"]).startswith("phantom")
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
        f"- {_outputs(config, table)} from {table['inputs']}; one table of {len(bvals)} directions "
        f"at b = {bvals.min():.0f} to {bvals.max():.0f} s/mm²",
        f"- {config['model']['name']}, {training.get('steps', 'unknown')} steps of "
        f"{config['batch']} slices, seed {about['seed']}",
        *(f"- {name.replace('_', ' ')}: {training[name]:.4e}"
          for name in ("loss", "validation_loss") if name in training),
        f"- normalisation: {about['normalisation']['rule']}",
        "",
        "## Training data",
        "",
        f"- {'simulated (' + subjects['origin'] + ')' if simulated else 'measured'} scans, "
        f"b = {config['data']['shell']:g} s/mm²: {counts}"
        + (" (slabs of one scan)" if subjects["within_subject"] else ""),
        "",
        "## Evaluation",
        "",
        *(results or ["Not evaluated before it was exported."]),
        "",
        "## Warnings",
        "",
        _WARNINGS,
        "## Made with",
        "",
        ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
        "",
    ])


def _outputs(config, table):
    if config["task"] == "map_regression":
        return ", ".join(config["targets"])
    return f"{len(table['bvals']) - table['inputs']} further directions"
