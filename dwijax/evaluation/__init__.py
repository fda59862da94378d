"""Judging a trained run: metrics, statistics, protocols, tables, figures, report."""
