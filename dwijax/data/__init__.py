"""Scans: volumes, folder layouts, subjects, splits and the phantom."""
