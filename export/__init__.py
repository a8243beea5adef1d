"""Export: checkpoint to ONNX graphs, bundle and TensorRT engines."""
