"""What each network of a bundle is as a graph: how it is built, what it is checked on, what PyTorch gives."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fingergen.runtime import seeds
from fingergen.runtime.backends import Floats, Precision
from fingergen.runtime.bundle.manifest import GraphName
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template, minutiae_map
from fingergen.runtime.minutiae.raster import CELLS, CHANNELS
from fingergen.runtime.pipeline.reconstruction import to_encoder_input
from fingergen.training.networks import Generator, Reconstructor
from fingergen.training.networks.field_net import FieldNet

from .inputs import SourceNetworks
from .onnx_graphs.encoder import encoder_model
from .onnx_graphs.fields import field_model
from .onnx_graphs.generator import synthesis_model
from .onnx_graphs.mapping import mapping_model
from .onnx_graphs.ops import Ops

Inputs = dict[str, Floats]

BATCHES = (1, 3, 8)
# Batch, styles, noise. Seeds go on counting from case to case, so that no image comes twice.
SYNTHESIS_CASES = ((1, "w", "none"), (3, "w_plus", "random"), (2, "w", "const"))
IMAGE_RANGE = 2.0  # of images, nominally in [-1, 1]
BATCH_PIXELS = 2**16  # a batch of as many pixels of images; a larger one is no faster, and takes memory
MOST_IN_BATCH = 64
STATISTICS_SEEDS = 1000  # for the standard deviation of w
DEVIATIONS = 5.0
ENCODER_SHARE = 4  # an encoder costs several times what a generator does: so many fewer inputs


class Network(ABC):
    """One network of a bundle.

    Attributes:
        name: of its graph, in the manifest.
        samples: how many samples `cases` gives.
        has_half: whether its graph comes in float16 too; else it is float32 in every precision.
        peak: least range of an output that a PSNR counts from; 0 takes each output's own.
    """

    name: GraphName
    samples: int = sum(BATCHES)
    has_half: bool = False
    peak: float = 0.0

    @abstractmethod
    def build(self, ops: Ops, precision: Precision) -> onnx.ModelProto:
        """The graph, its custom nodes written by `ops`."""

    @abstractmethod
    def cases(self) -> Iterator[Inputs]:
        """Inputs on which the graph is compared with PyTorch: batches of several sizes."""

    @abstractmethod
    def reference(self, inputs: Inputs) -> Floats:
        """What PyTorch gives for `inputs`: float32, of the shape of the graph's first output."""

    def exact(self, inputs: Inputs) -> Floats | None:
        """What PyTorch gives in float64, for a network whose layers magnify rounding; None for any other."""
        return None

    def half_cases(self, count: int) -> Iterator[tuple[str, Inputs]]:
        """Kinds of inputs, and a batch of each, on which float16 is compared with float32: about `count`
        samples of every kind.
        """
        raise NotImplementedError(f"{self.name} has no float16 graph")

    def half_samples(self, count: int) -> int:
        """How many samples `half_cases` gives."""
        return 2 * count


class MappingNetwork(Network):
    """The mapping network: z (N, style_dim) → w (N, style_dim)."""

    name: GraphName = "mapping"

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def build(self, ops: Ops, precision: Precision) -> onnx.ModelProto:
        return mapping_model(self.generator, ops)

    def cases(self) -> Iterator[Inputs]:
        first = 0
        for batch in BATCHES:
            yield {"z": _latents(self.generator, batch, first)}
            first += batch

    @torch.inference_mode()
    def reference(self, inputs: Inputs) -> Floats:
        return self.generator.map(torch.from_numpy(inputs["z"])).numpy()


class SynthesisNetwork(Network):
    """w and noise → image: the generator's or, as `decoder`, that of a reconstruction."""

    samples = sum(batch for batch, *_ in SYNTHESIS_CASES)
    has_half = True
    peak = IMAGE_RANGE

    def __init__(self, name: GraphName, generator: Generator) -> None:
        self.name = name
        self.generator = generator

    def build(self, ops: Ops, precision: Precision) -> onnx.ModelProto:
        return synthesis_model(self.generator, ops, precision)

    def cases(self) -> Iterator[Inputs]:
        """One style for all layers, and a style for each; no noise, random and stored noise."""
        seed = 0
        for batch, styles, noise_mode in SYNTHESIS_CASES:
            per_image = self.generator.num_ws if styles == "w_plus" else 1
            w = self._styles(batch * per_image, seed).reshape(batch, per_image, -1)
            if noise_mode == "const":
                noise = self._stored_noise()
            elif noise_mode == "none":
                noise = [layer.numpy() for layer in self.generator.zero_noise()]
            else:
                noise = self._random_noise(range(seed, seed + batch))
            yield self._inputs(w, noise)
            seed += batch * per_image

    @torch.inference_mode()
    def reference(self, inputs: Inputs) -> Floats:
        w, *noise = (torch.from_numpy(value) for value in inputs.values())
        return self.generator.synthesize(w, noise).numpy()

    def half_cases(self, count: int) -> Iterator[tuple[str, Inputs]]:
        """w of the first `count` seeds at ψ = 1, with the stored noise; and w of which every component is
        five standard deviations from the mean, on the side of the seed's, with the seed's noise.
        """
        w = self._styles(max(count, STATISTICS_SEEDS))
        mean, deviation = w.mean(axis=0), w.std(axis=0)
        far = mean + DEVIATIONS * deviation * np.where(w < mean, -1, 1).astype(np.float32)
        size = max(1, min(BATCH_PIXELS // self.generator.resolution**2, MOST_IN_BATCH))
        for first in range(0, count, size):
            batch = range(first, min(first + size, count))
            yield "psi 1", self._inputs(w[batch, None], self._stored_noise())
            yield f"{DEVIATIONS:g} deviations", self._inputs(far[batch, None], self._random_noise(batch))

    @torch.inference_mode()
    def _styles(self, count: int, first_seed: int = 0) -> Floats:
        """w (count, style_dim) of seeds."""
        return self.generator.map(torch.from_numpy(_latents(self.generator, count, first_seed))).numpy()

    def _stored_noise(self) -> list[Floats]:
        return [buffer.numpy() for buffer in self.generator.stored_noise()]

    def _random_noise(self, of_seeds: range) -> list[Floats]:
        shapes = self.generator.noise_shapes()
        layers = zip(*(seeds.noise(seed, shapes) for seed in of_seeds), strict=True)
        return [np.concatenate(layer) for layer in layers]

    def _inputs(self, w: Floats, noise: Sequence[Floats]) -> Inputs:
        """`w` (batch, 1 or num_ws, style_dim)."""
        styles = np.repeat(w, self.generator.num_ws // w.shape[1], axis=1)
        return {"w": styles} | {f"noise_{i}": layer for i, layer in enumerate(noise)}


class EncoderNetwork(Network):
    """Minutiae map of `map_size` pixels per side → w and, where it predicts them, noise images."""

    name: GraphName = "encoder"
    has_half = True

    def __init__(self, reconstructor: Reconstructor, map_size: int, num_ws: int) -> None:
        self.reconstructor = reconstructor
        self.map_size = map_size
        self.num_ws = num_ws

    def build(self, ops: Ops, precision: Precision) -> onnx.ModelProto:
        encoder, latent_avg = self.reconstructor.encoder, self.reconstructor.latent_avg
        return encoder_model(encoder, latent_avg, self.map_size, self.num_ws, ops, precision)

    def cases(self) -> Iterator[Inputs]:
        shape = (self.reconstructor.encoder.input_channels, self.map_size, self.map_size)
        for seed, batch in enumerate(BATCHES):
            drawn = seeds.stream(seed, seeds.Purpose.EXPORT_CHECK)
            yield {"map": drawn.random((batch, *shape), dtype=np.float32)}

    def reference(self, inputs: Inputs) -> Floats:
        return _code(self.reconstructor, torch.from_numpy(inputs["map"]))

    def exact(self, inputs: Inputs) -> Floats:
        return _code(copy.deepcopy(self.reconstructor).double(), torch.from_numpy(inputs["map"]).double())

    def half_cases(self, count: int) -> Iterator[tuple[str, Inputs]]:
        """A quarter of `count` minutiae maps, and as many of noise."""
        for seed in range(self.half_samples(count) // 2):
            drawn = seeds.stream(seed, seeds.Purpose.EXPORT_CHECK)
            yield "minutiae", {"map": to_encoder_input(_minutiae_map(drawn, self.map_size)[None])}
            size = (1, 3, self.map_size, self.map_size)
            yield "noise", {"map": drawn.random(size, dtype=np.float32)}

    def half_samples(self, count: int) -> int:
        return 2 * max(count // ENCODER_SHARE, 1)


class FieldNetwork(Network):
    """Raster of a template → orientation, ridge period and contact."""

    name: GraphName = "fields"

    def __init__(self, network: FieldNet) -> None:
        self.network = network

    def build(self, ops: Ops, precision: Precision) -> onnx.ModelProto:
        return field_model(self.network)

    def cases(self) -> Iterator[Inputs]:
        for seed, batch in enumerate(BATCHES):
            drawn = seeds.stream(seed, seeds.Purpose.EXPORT_CHECK)
            shape = (batch, CHANNELS, CELLS, CELLS)
            yield {"raster": drawn.standard_normal(shape, dtype=np.float32)}

    @torch.inference_mode()
    def reference(self, inputs: Inputs) -> Floats:
        fields = self.network(torch.from_numpy(inputs["raster"]))
        return torch.cat([fields[:, :-1], fields[:, -1:].sigmoid()], dim=1).numpy()


def networks_of(source: SourceNetworks, map_size: int) -> list[Network]:
    """Mapping, synthesis and, where `source` has them, decoder, encoder of maps of `map_size` pixels, and
    field network.
    """
    networks: list[Network] = [
        MappingNetwork(source.generator),
        SynthesisNetwork("synthesis", source.generator),
    ]
    if source.decoder is not None:
        networks.append(SynthesisNetwork("decoder", source.decoder))
    if source.reconstructor is not None:
        networks.append(EncoderNetwork(source.reconstructor, map_size, source.generator.num_ws))
    if source.fields is not None:
        networks.append(FieldNetwork(source.fields))
    return networks


def _latents(generator: Generator, count: int, first_seed: int) -> Floats:
    """z (count, style_dim) of `count` seeds."""
    return np.stack([seeds.z(seed, generator.style_dim) for seed in range(first_seed, first_seed + count)])


@torch.inference_mode()
def _code(reconstructor: Reconstructor, maps: torch.Tensor) -> Floats:
    """What the encoder graph gives: w, and behind it the noise that it predicts."""
    w, noise = reconstructor.encode(maps)
    return (torch.cat([each.flatten(1) for each in (w, *noise)], dim=1) if noise else w).numpy()


def _minutiae_map(drawn: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """The map of up to 80 minutiae, a core and a delta, all anywhere."""

    def place() -> tuple[float, float]:
        x, y = drawn.random(2) * size
        return x, y

    kinds = MinutiaType.ENDING, MinutiaType.BIFURCATION
    minutiae = [
        Minutia(*place(), angle=360 * drawn.random(), type=kinds[drawn.integers(2)])
        for _ in range(drawn.integers(81))
    ]
    return minutiae_map(
        Template(size, size, minutiae=tuple(minutiae), cores=(Point(*place()),), deltas=(Point(*place()),))
    )
