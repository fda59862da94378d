"""Training of a stack of networks."""
