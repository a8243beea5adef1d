"""How good fingerprints are: quality, minutiae, identity, compared with other sets."""
