"""A generator's weights, read back from the ONNX graphs of a bundle.

So training can start from a bundle, the packaged one among them, without the checkpoint that it was made
from. The graphs hold every weight with its constant factors folded in (`export.onnx_graphs`). Where a layer
is divided into operators, each output channel of its convolution has norm 1, and the norm stands apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fingergen.runtime.bundle.bundle import DEMO, Bundle, read_bundle
from fingergen.runtime.errors import BadInput

from ..networks import Generator
from ..networks.generator import NoiseInjection, ToRGB
from ..networks.layers import EqualLinear, FusedLeakyReLU, ModulatedConv
from .generator import GeneratorCheckpoint, load_generator

EPSILON = 1e-8  # of demodulation, which the graphs divide by the squared norms

Weights = Mapping[str, Tensor]


def load_start(path: Path) -> GeneratorCheckpoint:
    """What a training starts from.

    Args:
        path: A generator's checkpoint, the directory of a bundle, or `demo`: the packaged bundle, where no
            such file exists.

    Returns:
        The generator; of a bundle, its averaged weights and what the manifest says of its training.

    Raises:
        BadInput: It is none of these, or damaged, or a bundle that says too little of its generator.
    """
    if path == Path("demo") and not path.exists():
        path = DEMO
    return generator_of_bundle(read_bundle(path)) if path.is_dir() else load_generator(path)


@torch.no_grad()
def generator_of_bundle(bundle: Bundle) -> GeneratorCheckpoint:
    """The generator of a bundle.

    Args:
        bundle: As `fg-export` writes them.

    Returns:
        Its averaged weights, to the rounding of float32, and the configuration of its training.

    Raises:
        BadInput: If the graphs lack a weight, or the manifest the generator's architecture.
    """
    manifest = bundle.manifest
    provenance, graphs = manifest.provenance, manifest.graphs
    try:
        generator = Generator(**provenance["networks"]["generator"]).eval()
        weights = _constants(bundle, graphs.mapping) | _constants(bundle, graphs.synthesis)
        generator.input.input.copy_(weights["input.input"])
        for name, module in generator.named_modules():
            _restore(module, name, weights)
        for buffer, stored in zip(generator.stored_noise(), bundle.latents.noise, strict=True):
            buffer.copy_(torch.tensor(stored))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(
            f"{bundle.path}: its graphs are not those of the generator that {bundle.path.name}/bundle.json"
            f" describes ({error}); give the checkpoint that the bundle was made from"
        ) from error
    trained = [each for each in provenance.get("checkpoints", ()) if each.get("role") == "generator"]
    config = dict(trained[0].get("config", {})) if trained else {}
    return GeneratorCheckpoint(g_ema=generator, config=config | {"ppi": manifest.image.ppi})


def _constants(bundle: Bundle, file: str) -> dict[str, Tensor]:
    """The constants of a graph by name."""
    try:
        from onnx import load_model_from_string, numpy_helper
    except ModuleNotFoundError as error:  # not everyone who trains exports
        raise BadInput(
            f"{bundle.path}: to read a bundle's graphs needs {error.name}: pip install 'fingergen[export]'"
        ) from None
    model = load_model_from_string(bundle.read(file))
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _restore(module: nn.Module, name: str, weights: Weights) -> None:
    """Set a layer's own parameters from the constants whose names begin with it."""
    if isinstance(module, ModulatedConv):
        _restore_convolution(module, name.removesuffix(".conv"), weights)
    elif isinstance(module, EqualLinear) and module.activate:  # of the mapping network
        module.weight.copy_(weights[f"{name}/weight"].T / module.scale)
        module.bias.copy_(weights[f"{name}/bias"].flatten() / module.lr_mul)
    elif isinstance(module, NoiseInjection):
        name = name.removesuffix(".noise")
        module.weight.copy_(weights[f"{name}/noise_strength"])
        if weights.get(f"{name}/noise_modulation", torch.zeros(1)).any():
            raise ValueError(f"{name}: w adds to the strength of its noise, as in older graphs")
        if module.exponent is not None:
            exponent = weights.get(f"{name}/noise_exponent", torch.zeros(module.style_dim))
            module.exponent.copy_(exponent.reshape(1, -1) / module.scale)
    elif isinstance(module, FusedLeakyReLU):
        module.bias.copy_(weights[f"{name.removesuffix('.activate')}/bias"].flatten())
    elif isinstance(module, ToRGB):
        module.bias.copy_(weights[f"{name}/bias"].reshape(module.bias.shape))


def _restore_convolution(conv: ModulatedConv, name: str, weights: Weights) -> None:
    conv.modulation.weight.copy_(weights[f"{name}/modulation"].T / conv.modulation.scale)
    conv.modulation.bias.copy_(weights[f"{name}/modulation_bias"] / conv.modulation.lr_mul)
    weight = weights[f"{name}/weight"]
    divided = f"{name}/epsilon_1" in weights or f"{name}/norms" in weights
    if divided:
        if conv.up:
            weight = weight.transpose(0, 1)  # as ConvTranspose has it
        norms = weights.get(f"{name}/norms")
        if norms is None:
            norms = (EPSILON / weights[f"{name}/epsilon_1"]).sqrt()
        weight = weight * norms[:, None, None, None]
    conv.weight.copy_(weight.reshape(conv.weight.shape) / conv.scale)  # without the kernel's sides in ToRGB
