"""PyTorch networks as ONNX graphs, built node by node."""
