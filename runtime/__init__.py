"""Deploy: load a bundle and run it (synthesis, reconstruction, edits) without PyTorch.

import fingergen.runtime as fgr

model = fgr.load()                                              # the packaged demo bundle
images = model.synthesize(seeds=range(16), truncation=0.7)      # uint8 (16, H, W)
"""

from typing import TYPE_CHECKING

from fingergen import __version__

from .errors import BadInput, FingerGenError
from .lazy import imported_when_asked

if TYPE_CHECKING:
    from .model import Model, load

__all__ = ["BadInput", "FingerGenError", "Model", "__version__", "load"]

# When they are asked for: `fg-run` says how NumPy is to start before it does.
__getattr__ = imported_when_asked(__name__, {"model": ("Model", "load")})
