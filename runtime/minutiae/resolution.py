"""Resolutions of fingerprints, in pixels per inch."""

PPI = 500  # of fingerprint databases, and what MINDTCT and NFIQ 2 are defined at
LOWEST_PPI, HIGHEST_PPI = 1.0, 100_000.0
"""Bounds of a template's resolution: beyond them no image is meant, and rescaling would overflow."""
