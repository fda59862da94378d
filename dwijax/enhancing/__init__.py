"""One short scan in, a better one out, and the proof of it."""
