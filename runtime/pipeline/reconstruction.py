"""Minutiae templates and maps of any size → the maps that a bundle's encoder was trained on.

The encoder sees one field of view: `output_size` pixels at `output_ppi` (512 at 500 ppi in SynFing), drawn
at that size and then reduced to its input.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_iterable
from ..bundle.manifest import ImageSize
from ..errors import BadInput
from ..minutiae import Template, minutiae_map

Map = NDArray[np.uint8]
BLACK, DRAWN = 8, 128  # levels: at most that of the background, at least that of a minutia's middle
LEAST_BLACK = 0.3  # share of a map
ALIKE = 0.9  # correlation of the channels of a tinted picture; cores lie elsewhere than minutiae
ReconstructionInput = Template | Map


def encoder_maps(
    inputs: ReconstructionInput | Iterable[ReconstructionInput], image: ImageSize, input_size: int
) -> Map:
    """Templates, or minutiae maps uint8 (H, W, 3), one or many → uint8 (N, input_size, input_size, 3).

    A template is brought to `image.output_ppi`, then padded or cropped about its middle to the field of view.
    A map is taken to show the field of view already. `BadInput` for anything else, or where nothing is given.
    """
    if isinstance(inputs, Template) or (isinstance(inputs, np.ndarray) and inputs.ndim == 3):
        inputs = [inputs]
    check_iterable("reconstruction", inputs, "templates or minutiae maps")
    maps = [_encoder_map(each_input, image, input_size) for each_input in inputs]
    if not maps:
        raise BadInput("reconstruction: no templates or maps given")
    return np.stack(maps)


def list_templates(
    inputs: ReconstructionInput | Iterable[ReconstructionInput], image: ImageSize
) -> list[Template]:
    """One or many templates, in the field of view; `BadInput` for minutiae maps or where none is given."""
    check_iterable("reconstruction", [] if isinstance(inputs, Template) else inputs, "templates")
    listed = [inputs] if isinstance(inputs, Template | np.ndarray) else list(inputs)
    if not listed:
        raise BadInput("reconstruction: no templates given")
    templates = [to_field_of_view(each, image) for each in listed if isinstance(each, Template)]
    if len(templates) != len(listed):
        raise BadInput("reconstruction: this bundle reads templates, not minutiae maps; give a template")
    return templates


def to_field_of_view(template: Template, image: ImageSize) -> Template:
    """The template at `image.output_ppi` in an image of `image.output_size` pixels, with the same middle."""
    if template.ppi != image.output_ppi:
        template = template.rescale(image.output_ppi)
    side = image.output_size
    return template.crop((template.width - side) // 2, (template.height - side) // 2, side, side)


def not_a_map(image: Map) -> str | None:
    """Why an RGB image is not a picture of a minutiae map, as far as that shows.

    A map is black but for what is drawn around minutiae, whose middles are saturated, and each channel shows
    something else. 200 minutiae leave four fifths of a map black.

    Args:
        image: uint8 (H, W, 3).

    Returns:
        The reason; None for what may be a map.
    """
    if not image.any():
        return "it is black"
    if (image == image[:, :, :1]).all():
        return "its three channels are equal"
    if (image.max(axis=2) <= BLACK).mean() < LEAST_BLACK:
        return f"less than {LEAST_BLACK:.0%} of it is black"
    if image[:, :, :2].max() < DRAWN:
        return "no minutiae are drawn in it"
    levels = image.reshape(-1, 3).T.astype(np.float64)
    if levels.std(axis=1).all() and np.corrcoef(levels).min() > ALIKE:
        return "its three channels show the same"
    return None


def _encoder_map(each_input: ReconstructionInput, image: ImageSize, input_size: int) -> Map:
    if isinstance(each_input, Template):
        drawn = minutiae_map(to_field_of_view(each_input, image))
    else:
        drawn = np.asarray(each_input)
        if drawn.dtype != np.uint8 or drawn.ndim != 3 or drawn.shape[2] != 3 or not drawn.size:
            raise BadInput(f"minutiae map: {drawn.dtype} {drawn.shape}; must be uint8 (H, W, 3)")
    if drawn.shape[:2] == (input_size, input_size):
        return drawn
    from PIL import Image

    resized = Image.fromarray(drawn).resize((input_size, input_size), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def to_encoder_input(maps: Map) -> NDArray[np.float32]:
    """uint8 (N, S, S, 3) → the encoder graph's input, float32 (N, 3, S, S) in [0, 1]."""
    return np.ascontiguousarray(maps.transpose(0, 3, 1, 2), np.float32) / 255.0
