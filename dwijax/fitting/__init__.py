"""Tensor maps of whole scans: read as a stream, fitted in chunks, written under anyone's names."""

from dwijax.fitting.maps import MAPS, ChunkFit
from dwijax.fitting.naming import NAMINGS
from dwijax.fitting.scan import fit_scan, in_words

__all__ = ["MAPS", "NAMINGS", "ChunkFit", "fit_scan", "in_words"]
