"""Ridge noise: a finger as the noise inputs of a StyleGAN2 synthesis network.

Each layer of the network adds one image of numbers to its feature maps. StyleGAN2 draws them at random; ridge
noise puts a pyramid of a ridge map there. So the noise says where ridges run, and w how they look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

NoiseSource = Literal["ridges", "contact", "white"]
Item = TypeVar("Item")

GAIN = 1.5  # of ridge map and contact, whose values are smaller than those of standard normal noise
FINE_PPI = 200.0  # below, averaging over pixels takes much of the ridges' contrast
COARSE_GAIN = 1.6  # gives it back
LEAST_PPI = 110.0  # of a layer that can show ridges, nine to ten pixels apart at 500 ppi
MOST_PPI = 300.0  # of a layer that needs to: above, ridges are smooth, and maps of them expensive
SMALLEST_CONTACT = 8  # pixels per side of the smallest layer that shows the outline of the contact


class NoiseLayer(NamedTuple):
    """What the noise input of one layer is.

    Attributes:
        source: `ridges`, the ridge map; `contact`, the mask of contact; `white`, independent standard normal
            numbers.
        gain: Factor of the values of `source`.
    """

    source: NoiseSource
    gain: float = 1.0


def ridge_noise_layers(resolution: int, ppi: float) -> tuple[NoiseLayer, ...]:
    """What the layers of a network take: of the two of a resolution, the first takes structure, the second
    white noise. Above MOST_PPI, both take white noise.

    Args:
        resolution: Side in pixels of the network's images, a power of two, at least 8.
        ppi: Pixels per inch of these images.

    Returns:
        One entry per layer, coarsest first: one at 4x4, then two per resolution.
    """
    layers = [NoiseLayer("white")]
    for exponent in range(3, resolution.bit_length()):
        size = 1 << exponent
        layer_ppi = ppi * size / resolution
        if layer_ppi > MOST_PPI:
            structure = NoiseLayer("white")
        elif layer_ppi >= LEAST_PPI:
            structure = NoiseLayer("ridges", GAIN * (COARSE_GAIN if layer_ppi < FINE_PPI else 1.0))
        else:
            structure = NoiseLayer("contact", GAIN) if size >= SMALLEST_CONTACT else NoiseLayer("white")
        layers += [structure, NoiseLayer("white")]
    return tuple(layers)


def layer_size(number: int) -> int:
    """Pixels per side of the noise input of a layer, counted from 0."""
    return 4 << (number + 1) // 2


def map_size(layers: Sequence[NoiseLayer]) -> int:
    """Pixels per side of the ridge maps that layers take, the finest of them."""
    return max((layer_size(i) for i, layer in enumerate(layers) if layer.source != "white"), default=4)


def of_white(layers: Sequence[NoiseLayer], each: Iterable[Item]) -> list[Item]:
    """Of what there is for each layer, that of layers whose source is white noise."""
    return [one for layer, one in zip(layers, each, strict=True) if layer.source == "white"]


def noise_images(layers: Sequence[NoiseLayer], ridges: Any, contact: Any, white: Sequence[Any]) -> list[Any]:
    """The noise inputs of N impressions.

    Arrays may be NumPy's or PyTorch's tensors; all of one kind, float32.

    Args:
        layers: What each layer takes.
        ridges: (N, 1, M, M), ridge maps times contact: -1 in a valley, 1 on a ridge, 0 without contact; M is
            at least `map_size(layers)`.
        contact: (N, 1, M, M), masks of contact: 0 … 1.
        white: One array (N, 1, H, W) for each layer whose source is white, standard normal.

    Returns:
        One array (N, 1, H, W) per layer.
    """
    pyramids = {"ridges": [ridges], "contact": [contact]}
    images = []
    drawn = iter(white)
    for number, layer in enumerate(layers):
        if layer.source == "white":
            image = next(drawn)
        else:
            levels, size = pyramids[layer.source], layer_size(number)
            while levels[-1].shape[-1] > size:
                levels.append(_halved(levels[-1]))
            image = next(level for level in levels if level.shape[-1] == size)
            if layer.source == "contact":
                image = 2.0 * image - 1.0
        images.append(image if layer.gain == 1.0 else image * layer.gain)
    return images


def _halved(images: Any) -> Any:
    """(N, 1, S, S) averaged to (N, 1, S / 2, S / 2)."""
    rows = images[..., ::2, :] + images[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25
