"""The run that comes with the package: a network for any table (`benchmarks/shipped.py`)."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "any_table.dwijax"
