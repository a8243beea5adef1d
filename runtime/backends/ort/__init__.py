"""ONNX Runtime: on the CPU, on CUDA, and with TensorRT's execution provider."""
