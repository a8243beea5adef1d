"""From a raw folder of scans to a dataset for training."""
