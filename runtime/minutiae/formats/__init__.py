"""The file formats of minutiae templates, a module each."""
