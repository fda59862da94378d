"""Networks: written for one direction, stacked once."""
