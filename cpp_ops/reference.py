"""NumPy twins of the custom ops: slow, plain, and what every binding is tested against.

Sums run in float64 and are rounded once, to the dtype of `x`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fused_leaky_relu", "ridge_growth", "styled_conv", "to_rgb", "upfirdn2d"]


def fused_leaky_relu(
    x: NDArray[np.floating], bias: NDArray[np.floating], negative_slope: float = 0.2, scale: float = 2**0.5
) -> NDArray[np.floating]:
    """`scale * leaky_relu(x + bias)`, the bias along axis 1.

    Args:
        x: (N, C, …) float.
        bias: (C,).
        negative_slope: Of what is below zero.
        scale: Factor of the result.

    Returns:
        Of the shape and dtype of x.

    Raises:
        ValueError: The shapes do not fit.
    """
    if x.ndim < 2 or bias.shape != x.shape[1:2]:
        raise ValueError(f"want x (N, C, …) and bias (C,), got {x.shape} and {bias.shape}")
    biased = x.astype(np.float64) + bias.astype(np.float64).reshape(-1, *[1] * (x.ndim - 2))
    return (scale * np.where(biased < 0, biased * negative_slope, biased)).astype(x.dtype)


def upfirdn2d(
    x: NDArray[np.floating],
    kernel: NDArray[np.floating],
    up: int = 1,
    down: int = 1,
    pad: Sequence[int] = (0, 0, 0, 0),
) -> NDArray[np.floating]:
    """Upsample by zeros, pad, filter, keep every `down`-th sample.

    The filter is a true 2-D convolution (the kernel turned by 180° against correlation), no implicit border.

    Args:
        x: (N, C, H, W) float.
        kernel: (kH, kW).
        up: 1 or more; `up - 1` zeros follow each sample.
        down: 1 or more.
        pad: [x0, x1, y0, y1]: samples left, right, at the top and at the bottom; negative ones crop.

    Returns:
        (N, C, H', W') in the dtype of x, with H' = (H * up + y0 + y1 - kH) // down + 1, W' alike.

    Raises:
        ValueError: An argument is out of range, or nothing is left to filter.
    """
    if x.ndim != 4 or kernel.ndim != 2 or kernel.size == 0:
        raise ValueError(f"want x (N, C, H, W) and kernel (kH, kW), got {x.shape} and {kernel.shape}")
    if up < 1 or down < 1 or len(pad) != 4:
        raise ValueError(f"want up >= 1, down >= 1 and four pads, got up={up}, down={down}, pad={tuple(pad)}")
    n, c, h, w = x.shape
    kh, kw = kernel.shape
    x0, x1, y0, y1 = pad
    if h * up + y0 + y1 < kh or w * up + x0 + x1 < kw:
        raise ValueError(f"x {x.shape} is too small for kernel {kernel.shape}, up={up}, pad={tuple(pad)}")

    spread = np.zeros((n, c, h * up, w * up))
    spread[:, :, ::up, ::up] = x
    grown = np.pad(spread, ((0, 0), (0, 0), (max(y0, 0), max(y1, 0)), (max(x0, 0), max(x1, 0))))
    rows, columns = grown.shape[2:]
    padded = grown[:, :, max(-y0, 0) : rows - max(-y1, 0), max(-x0, 0) : columns - max(-x1, 0)]

    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, ::down, ::down]
    turned = kernel[::-1, ::-1].astype(np.float64)
    filtered: NDArray[np.floating] = np.einsum("nchwij,ij->nchw", windows, turned)
    return filtered.astype(x.dtype)


def modulation(
    w: NDArray[np.floating], index: int, weight: NDArray[np.floating], bias: NDArray[np.floating]
) -> NDArray[np.floating]:
    """What scales the input channels of a StyleGAN2 layer (arXiv:1912.04958): an affine map of its w.

    Args:
        w: (N, L, D) float, of all layers.
        index: Which of the L is the layer's.
        weight: (D, I).
        bias: (I,).

    Returns:
        (N, I) in the dtype of w.
    """
    exact: NDArray[np.floating] = w[:, index].astype(np.float64) @ weight.astype(np.float64) + bias
    return exact.astype(w.dtype)


def styled_conv(
    x: NDArray[np.floating],
    style: NDArray[np.floating],
    weight: NDArray[np.floating],
    noise: NDArray[np.floating],
    bias: NDArray[np.floating],
    taps: NDArray[np.floating] | None = None,
    strength: NDArray[np.floating] | float = 1.0,
    negative_slope: float = 0.2,
    scale: float = 2**0.5,
    epsilon: float = 1e-8,
) -> NDArray[np.floating]:
    """A layer of a StyleGAN2 synthesis network (arXiv:1912.04958): StyledConv; StyledUpConv with `taps`.

    `scale * leaky_relu(conv(x * style) / √(Σ (weight * style)² + epsilon) + strength * noise + bias)`. conv
    correlates with 3x3 weights, padded by 1; with `taps` it is a transposed convolution of stride 2, then
    filtered with their outer product, padded by 1.

    Args:
        x: (N, I, H, W) float.
        style: (N, I).
        weight: (O, I, 3, 3).
        noise: (1, 1, H', W') or (N, 1, H', W').
        bias: (O,).
        taps: (4,), of the filter after upsampling; None: no upsampling.
        strength: Of the noise: a number, (1,), or (N, 1).
        negative_slope: Of the activation, below zero.
        scale: Factor of the activation.
        epsilon: Added under the root.

    Returns:
        (N, O, H', W') in the dtype of x; H' is H, with `taps` 2H.

    Raises:
        ValueError: The shapes do not fit.
    """
    n, channels, height, width = x.shape
    up = 1 if taps is None else 2
    if (
        style.shape != (n, channels)
        or weight.shape[1:] != (channels, 3, 3)
        or noise.shape not in ((1, 1, up * height, up * width), (n, 1, up * height, up * width))
        or bias.shape != weight.shape[:1]
        or (taps is not None and taps.shape != (4,))
    ):
        shapes = ", ".join(str(each.shape) for each in (x, style, weight, noise, bias))
        raise ValueError(f"x, style, weight, noise and bias do not fit: {shapes}")
    scaled = x.astype(np.float64) * style.astype(np.float64)[:, :, None, None]
    exact = weight.astype(np.float64)
    if taps is None:
        padded = np.pad(scaled, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        convolved: NDArray[np.float64] = np.einsum("nihwyx,oiyx->nohw", windows, exact)
    else:
        spread = np.zeros((n, len(weight), 2 * height + 1, 2 * width + 1))
        for dy in range(3):
            for dx in range(3):
                product = np.einsum("nihw,oi->nohw", scaled, exact[:, :, dy, dx])
                spread[:, :, dy : dy + 2 * height : 2, dx : dx + 2 * width : 2] += product
        convolved = upfirdn2d(spread, np.outer(taps, taps), pad=(1, 1, 1, 1)).astype(np.float64)
    power = np.einsum("ni,oi->no", style.astype(np.float64) ** 2, (exact**2).sum(axis=(2, 3)))
    demodulated = convolved / np.sqrt(power + epsilon)[:, :, None, None]
    return fused_leaky_relu(
        demodulated + np.reshape(strength, (-1, 1, 1, 1)) * noise.astype(np.float64),
        bias,
        negative_slope,
        scale,
    ).astype(x.dtype)


def to_rgb(
    x: NDArray[np.floating],
    style: NDArray[np.floating],
    weight: NDArray[np.floating],
    bias: NDArray[np.floating],
    image: NDArray[np.floating],
    taps: NDArray[np.floating],
    border: NDArray[np.floating],
) -> NDArray[np.floating]:
    """A level's part of a StyleGAN2 image: a 1x1 convolution of x * style, plus the level below, upsampled.

    Zeros are inserted after the samples of `image`, padded by 2 before and by 1 behind and filtered with the
    outer product of `taps`.

    Args:
        x: (N, I, 2S, 2S) float.
        style: (N, I).
        weight: (C, I).
        bias: (C,).
        image: (N, C, S, S), of the level below.
        taps: (4,), of the filter.
        border: (2S,), factors of the upsampled image's rows and of its columns.

    Returns:
        (N, C, 2S, 2S) in the dtype of x.

    Raises:
        ValueError: The shapes do not fit.
    """
    n, channels, height, width = x.shape
    if (
        style.shape != (n, channels)
        or weight.shape[1:] != (channels,)
        or bias.shape != weight.shape[:1]
        or image.shape[:2] != (n, len(weight))
        or not 2 * image.shape[2] == 2 * image.shape[3] == height == width
        or taps.shape != (4,)
        or border.shape != (height,)
    ):
        shapes = ", ".join(str(each.shape) for each in (x, style, weight, bias, image, taps, border))
        raise ValueError(f"x, style, weight, bias, image, taps and border do not fit: {shapes}")
    scaled = x.astype(np.float64) * style.astype(np.float64)[:, :, None, None]
    part = np.einsum("nihw,ci->nchw", scaled, weight.astype(np.float64)) + bias[:, None, None]
    upsampled = upfirdn2d(image.astype(np.float64), np.outer(taps, taps), up=2, pad=(2, 1, 2, 1))
    return (part + upsampled * border[:, None] * border).astype(x.dtype)


def ridge_growth(
    noise: NDArray[np.floating],
    orientation: NDArray[np.floating],
    period: NDArray[np.floating],
    rounds: int = 30,
    radius: int = 6,
) -> NDArray[np.floating]:
    """Ridges grown from noise: filtered by each place's own Gabor kernel, `rounds` + 1 times, tanh between.

    A round is tanh(2 · filter(ridges)), the last filter goes without. The kernel of a place with period P and
    orientation θ has, at (dx, dy), y down, in a disc of `radius` + 1/2, the weight e (cos(2π a / P) - m) / g
    with b = dx cos θ - dy sin θ along the ridge, a = dx sin θ + dy cos θ - κ b² / 2 P across it and
    e = exp(-½ ((a / 0.45 P)² + (b / 0.55 P)²)); m makes its answer to a flat image 0, g that to a wave of its
    own period 1. κ is by how much the orientation turns in a period along the ridge (radians, central
    differences), from 0 at 0.15 or less to itself at 0.3, and at most 1: kernels bend around a core. Borders
    are mirrored about their samples.

    Args:
        noise: (N, 1, H, W) float, what ridges grow from.
        orientation: (N, 1, H, W), radians, counter-clockwise with y up.
        period: (N, 1, H, W), samples from ridge to ridge.
        rounds: 0 or more.
        radius: Of the kernels, samples, 1 or more.

    Returns:
        (N, 1, H, W) in the dtype of noise.

    Raises:
        ValueError: The shapes do not fit, or are too small for the radius.
    """
    if noise.ndim != 4 or noise.shape[1] != 1 or not noise.shape == orientation.shape == period.shape:
        raise ValueError(
            f"want three of (N, 1, H, W), got {noise.shape}, {orientation.shape}, {period.shape}"
        )
    if min(noise.shape[2:]) <= radius or radius < 1 or rounds < 0:
        raise ValueError(f"noise {noise.shape} is too small for radius {radius}, or rounds={rounds} below 0")
    height, width = noise.shape[2:]
    steps = np.arange(-radius, radius + 1)
    dy, dx = (axis.ravel() for axis in np.meshgrid(steps, steps, indexing="ij"))
    inside = dx**2 + dy**2 <= (radius + 0.5) ** 2
    offsets = list(zip(dx[inside].tolist(), dy[inside].tolist(), strict=True))

    cos, sin = np.cos(orientation.astype(np.float64)), np.sin(orientation.astype(np.float64))
    along = np.stack([x * cos - y * sin for x, y in offsets]) / period
    bent = along**2 * _bend(orientation, period) / 2
    across = np.stack([x * sin + y * cos for x, y in offsets]) / period - bent
    envelope = np.exp(-0.5 * ((across / 0.45) ** 2 + (along / 0.55) ** 2))
    wave = np.cos(2 * np.pi * across)
    weights = envelope * (wave - (envelope * wave).sum(0) / envelope.sum(0))
    weights /= (weights * wave).sum(0)

    def filtered(image: NDArray[np.float64]) -> NDArray[np.float64]:
        padded = np.pad(image, ((0, 0), (0, 0), (radius, radius), (radius, radius)), mode="reflect")
        total = np.zeros_like(image)
        for (x, y), weight in zip(offsets, weights, strict=True):
            rows, columns = slice(radius + y, radius + y + height), slice(radius + x, radius + x + width)
            total += weight * padded[:, :, rows, columns]
        return total

    ridges = noise.astype(np.float64)
    for _ in range(rounds):
        ridges = np.tanh(2.0 * filtered(ridges))
    return filtered(ridges).astype(noise.dtype)


def _bend(orientation: NDArray[np.floating], period: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far ridges turn in a period, radians clockwise; those nearly straight not at all."""
    padded = np.pad(orientation.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")

    def turned(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
        half_turns = (after - before) / np.pi
        turn: NDArray[np.float64] = (half_turns - np.round(half_turns)) * np.pi / 2
        return turn

    in_x = turned(padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:])
    in_y = turned(padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1])
    bend = (np.sin(orientation) * in_y - np.cos(orientation) * in_x) * period
    size = np.abs(bend)
    kept: NDArray[np.float64] = np.copysign(np.clip(np.minimum(size, 2 * size - 0.3), 0.0, 1.0), bend)
    return kept
