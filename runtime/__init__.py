"""Deploy: load a bundle and run it (synthesis, reconstruction, edits) without PyTorch.

import fingergen.runtime as fgr

model = fgr.load()                                              # the packaged demo bundle
images = model.synthesize(seeds=range(16), truncation=0.7)      # uint8 (16, H, W)
"""

import os

from fingergen import __version__

# ONNX Runtime 1.32 and later report their use unless this is set before they are imported, by whomever: here,
# where every program and subprocess of ours passes. See `backends.ort.library`.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from .errors import BadInput, FingerGenError
from .model import Model, load

__all__ = ["BadInput", "FingerGenError", "Model", "__version__", "load"]
