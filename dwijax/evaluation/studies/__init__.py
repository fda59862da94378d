"""Studies: tracts, lesions, added noise."""
