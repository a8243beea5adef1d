"""TensorRT and TensorRT-RTX, run directly."""
