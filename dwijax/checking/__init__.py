"""What is in a scan, and what is wrong with it: facts, warnings, one page."""
