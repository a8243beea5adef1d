"""Half precision in the highest resolutions, as in StyleGAN2-ADA (arXiv:2006.06676, appendix).

Weights, styles, the image that the generator adds up, and the low resolutions stay in full precision.
Activations of the others are bfloat16, or float16 kept within ±256, far from where it overflows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .ops import fast_layout, is_half

CLAMP = 256.0
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def clamp_half(x: Tensor) -> Tensor:
    """float16 activations within ±256; others, which have a float32's range, as they are."""
    return x.clamp(-CLAMP, CLAMP) if x.dtype == torch.float16 else x


@dataclass(frozen=True)
class MixedPrecision:
    """`dtype` of the activations in the `resolutions` highest resolutions of a network."""

    dtype: torch.dtype = torch.float32
    resolutions: int = 0

    def cast(self, x: Tensor, resolution: int, highest: int) -> Tensor:
        """Activations `x` at `resolution` of a network whose images have `highest`, in the type they have
        there; `x` itself if nothing changes."""
        if resolution > highest >> self.resolutions:
            dtype = self.dtype
        else:
            dtype = torch.float32 if is_half(x) else x.dtype
        return x if x.dtype == dtype else fast_layout(x.to(dtype))


FULL = MixedPrecision()
