"""Pages of one file, to look at without a network."""
