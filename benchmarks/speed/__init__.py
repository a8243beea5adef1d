"""How fast bundles, backends and kernels are, with baselines timed in the same rounds."""
