"""Custom ops: C++/CUDA kernels with thin bindings, and their NumPy references."""
