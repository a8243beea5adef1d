"""Figures of generated images: distances, features, fingerprint quality."""
