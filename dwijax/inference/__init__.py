"""Scans through trained runs."""

from dwijax.inference.volumes import Run, load_run, only_inputs, outputs, synthesise

__all__ = ["Run", "load_run", "only_inputs", "outputs", "synthesise"]
