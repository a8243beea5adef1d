"""What a generator's synthesis computes and moves: the floor of its time, and the calls of our ops in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fingergen.training.networks import Generator
from fingergen.training.networks.generator import NoiseInjection
from fingergen.training.networks.layers import EqualLinear, Fir, FusedLeakyReLU, ModulatedConv

from ..speed.kernels import Call

Kind = Literal["convolution", "fir", "activation", "linear"]
FULL, HALF = 4, 2  # bytes of a number
MAPPING = "style."


@dataclass(frozen=True)
class Layer:
    """A layer's work for one image.

    `flops`: multiplications and additions. `read`, `written`: shapes without the batch. `weights`: numbers,
    shared by the batch. `full`: float32 in every precision. `fir`: up, and pad, of a FIR.
    """

    name: str
    kind: Kind
    flops: int
    read: tuple[int, ...]
    written: tuple[int, ...]
    weights: int
    full: bool
    fir: tuple[int, tuple[int, ...]] | None = None

    def bytes(self, batch: int, itemsize: int) -> int:
        """Moved if inputs, weights and outputs are each moved once."""
        numbers = self.weights + batch * (math.prod(self.read) + math.prod(self.written))
        return numbers * (FULL if self.full else itemsize)


@dataclass(frozen=True)
class Peaks:
    """What a device was measured to reach: float16 FLOP a second, and bytes a second of a copy, read and
    written."""

    flops: float
    bandwidth: float


def layers(sizes: Mapping[str, Any]) -> list[Layer]:
    """Of the synthesis network of `Generator(**sizes)`, in their order, seen on tensors without data."""
    with torch.device("meta"):
        network = Generator(**sizes)
    found: list[Layer] = []

    def hook(name: str, module: nn.Module) -> None:
        def saw(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found.append(_layer(name, module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

        module.register_forward_hook(saw)  # type: ignore[arg-type]

    for name, module in network.named_modules():
        styled = isinstance(module, NoiseInjection) and module.exponent is not None
        known = styled or isinstance(module, (ModulatedConv, Fir, FusedLeakyReLU, EqualLinear))
        if known and not name.startswith(MAPPING):
            hook(name, module)
    with torch.inference_mode():
        network.synthesize(torch.empty(1, network.style_dim, device="meta"))
    return found


def floor_seconds(
    some: Sequence[Layer], batch: int, peaks: Peaks, itemsize: int = HALF
) -> tuple[float, float, float]:
    """Seconds of a batch where each convolution and each FIR is limited by arithmetic or by memory alone, and
    all else is fused into them; and what arithmetic alone, and memory alone, would take."""
    arithmetic = [batch * layer.flops / peaks.flops for layer in some]
    memory = [
        0.0 if layer.kind == "activation" else layer.bytes(batch, itemsize) / peaks.bandwidth
        for layer in some
    ]
    return sum(map(max, arithmetic, memory)), sum(arithmetic), sum(memory)


def op_calls(some: Sequence[Layer], batch: int, dtype: type[np.floating]) -> list[Call]:
    """The calls of our ops, each once, with activations in `dtype`."""
    calls = []
    for layer in some:
        number = np.float32 if layer.full else dtype
        if layer.kind == "activation":
            calls.append(Call.fused_leaky_relu(number, (batch, *layer.read)))
        elif layer.fir is not None:
            up, pad = layer.fir
            calls.append(Call.upfirdn2d(number, (batch, *layer.read), (4, 4), up, 1, pad))
    return list(dict.fromkeys(calls))


def _layer(name: str, module: nn.Module, read: tuple[int, ...], written: tuple[int, ...]) -> Layer:
    # The image that the levels add up is float32 always, and so are styles.
    if isinstance(module, ModulatedConv):
        _, channels_out, channels_in, size, _ = module.weight.shape
        if module.up:  # what it writes is read by its blur
            written = (channels_out, *(2 * side + 1 for side in read[1:]))
        pixels = math.prod(read[1:])  # an upsampling one multiplies each sample with each weight too
        flops = 2 * size**2 * channels_in * channels_out * pixels
        if module.demodulate:
            flops += 2 * channels_in * channels_out
        return Layer(name, "convolution", flops, read, written, module.weight.numel(), full=False)
    if isinstance(module, Fir):
        taps = module.kernel.numel() // module.up**2  # the others meet inserted zeros
        flops = 2 * taps * math.prod(written)
        full = name.startswith("to_rgb")
        return Layer(name, "fir", flops, read, written, 0, full, (module.up, tuple(module.pad)))
    if isinstance(module, FusedLeakyReLU):
        return Layer(name, "activation", 0, read, written, module.bias.numel(), full=False)
    if isinstance(module, NoiseInjection):  # of which only the strength is computed: its sum is fused
        size = module.style_dim
        return Layer(name, "linear", 2 * size, (size,), (1,), size, full=True)
    assert isinstance(module, EqualLinear)
    return Layer(name, "linear", 2 * module.weight.numel(), read, written, module.weight.numel(), full=True)
