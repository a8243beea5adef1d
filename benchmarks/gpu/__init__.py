"""Checks and timings that need an NVIDIA GPU: `fg-bench gpu`."""
