"""Training data: datasets in folders and shards, image I/O, minutiae maps, splits, fingers kept on disk."""
