"""TensorRT engines of a bundle's graphs, built by TensorRT or TensorRT-RTX in a process of their own.

`resolve` checks what is asked for before any work, `build_engine` builds one engine. TensorRT builds on the
GPU that the engine is for; TensorRT-RTX needs none, and one engine serves several architectures.
"""

from .builder import build_engine
from .target import EngineOptions, Target, resolve

__all__ = ["EngineOptions", "Target", "build_engine", "resolve"]
