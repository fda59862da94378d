"""Maps from few directions judged: the protocol of Li et al. (SuperDTI)."""
