"""Simulated subjects: the embedded default data."""

from dwijax.data.phantom.simulate import (
    acquisition,
    make_settings,
    settings_hash,
    simulate,
    simulate_scans_like,
    simulators,
)
from dwijax.data.phantom.subject import Settings, SimulatedSubject, simulate_subject

__all__ = [
    "Settings",
    "SimulatedSubject",
    "acquisition",
    "make_settings",
    "settings_hash",
    "simulate",
    "simulate_scans_like",
    "simulate_subject",
    "simulators",
]
