"""Weights of the PyTorch layers as arrays, with everything constant folded in.

Folding is done in float64; the builders round once, when they store the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # an engine is built of a bundle's graphs without PyTorch
    from torch import Tensor, nn

    from fingergen.training.networks.generator import NoiseInjection
    from fingergen.training.networks.layers import EqualConv, EqualLinear, ModulatedConv

Float64 = NDArray[np.float64]


def array(tensor: Tensor) -> Float64:
    """The tensor's values in float64."""
    return tensor.detach().cpu().numpy().astype(np.float64)


def linear(layer: EqualLinear) -> tuple[Float64, Float64]:
    """Weight [out, in] and bias (out) of a fully connected layer, learning-rate factors folded in."""
    return array(layer.weight) * layer.scale, array(layer.bias) * layer.lr_mul


def equalized(conv: EqualConv) -> Float64:
    """Weight [O, I, k, k] of a convolution, its equalizing factor folded in."""
    return array(conv.weight) * conv.scale


def modulated(conv: ModulatedConv) -> Float64:
    """The shared weight [O, I, k, k] of a modulated convolution, its equalizing factor folded in."""
    return array(conv.weight)[0] * conv.scale


def noise_exponent(layer: NoiseInjection) -> Float64:
    """How the strength of a layer's noise grows with w: [style_dim], zeros where it does not depend on w."""
    if layer.exponent is None:
        return np.zeros(layer.style_dim)
    return array(layer.exponent)[0] * layer.scale


def unit_rows(weight: Float64) -> tuple[Float64, Float64]:
    """The weight [O, I, k, k] with every output channel's divided by its norm, and the norms (O); an output
    channel of zeros keeps its weight and has norm 1.
    """
    norms = np.sqrt((weight**2).sum(axis=(1, 2, 3)))
    norms[norms == 0] = 1
    return weight / norms[:, None, None, None], norms


def affine(norm: nn.BatchNorm2d) -> tuple[Float64, Float64]:
    """Gain and offset of every channel (C): what a batch normalization does once trained."""
    statistics = norm.state_dict()
    gain = array(norm.weight) / np.sqrt(array(statistics["running_var"]) + norm.eps)
    return gain, array(norm.bias) - array(statistics["running_mean"]) * gain


def normalized(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Float64, Float64]:
    """Weight [O, I, k, k] and bias (O) of a convolution without bias and the batch normalization after it."""
    gain, offset = affine(norm)
    return array(conv.weight) * gain[:, None, None, None], offset
