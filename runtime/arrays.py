"""The two array types of the runtime."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""float32: latents, noise buffers, and a network's image in [-1, 1]."""

Pixels = NDArray[np.uint8]
"""uint8: images and minutiae maps, 0-255."""
