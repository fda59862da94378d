"""Studies: tracts, lesions, added noise, repeated scans, realism of simulations."""
