"""Synthetic directions judged: the protocol of He et al. 2020 and more."""
