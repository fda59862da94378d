"""dwijax: more diffusion directions, and better DTI maps, from a short scan."""

__version__ = "0.1.0"
