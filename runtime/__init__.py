"""Deploy: load a bundle and run it (synthesis, reconstruction, edits) without PyTorch.

import fingergen.runtime as fgr

model = fgr.load()                                              # the packaged demo bundle
images = model.synthesize(seeds=range(16), truncation=0.7)      # uint8 (16, H, W)
"""

from fingergen import __version__

from .errors import BadInput, FingerGenError
from .model import Model, load

__all__ = ["BadInput", "FingerGenError", "Model", "__version__", "load"]
