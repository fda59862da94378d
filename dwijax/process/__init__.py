"""The process and its surroundings: how it begins and ends, threads, other processes."""
