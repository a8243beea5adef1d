"""TensorRT engines of a bundle's graphs, built by TensorRT or TensorRT-RTX in a process of their own.

`resolve` checks what is asked for before any work, `build_engine` builds one engine, `add_engines` all
those of a bundle that is there already. TensorRT builds on the
GPU that the engine is for; TensorRT-RTX needs none, and one engine serves several architectures.
"""

from .builder import build_engine
from .from_bundle import add_engines
from .target import EngineOptions, Target, resolve

__all__ = ["EngineOptions", "Target", "add_engines", "build_engine", "resolve"]
