"""Deploy: load a bundle and run it (synthesis, reconstruction, edits) without PyTorch."""
