"""The graphs of a source's networks: how each is built, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import onnx

from fingergen.runtime.bundle.manifest import GraphName
from fingergen.training.networks import Generator, Reconstructor
from fingergen.training.networks.field_net import FieldNet

from .checks.half import HalfParity, check_half_encoder, check_half_synthesis
from .checks.parity import Parity, Progress, check_encoder, check_fields, check_mapping, check_synthesis
from .inputs import Source
from .onnx_graphs.builder import Precision
from .onnx_graphs.encoder import encoder_model
from .onnx_graphs.fields import field_model
from .onnx_graphs.generator import synthesis_model
from .onnx_graphs.mapping import mapping_model
from .onnx_graphs.ops import Build, Ops

Check = Callable[[str, onnx.ModelProto, Progress], Parity]
CheckHalf = Callable[[str, onnx.ModelProto, int, Progress], HalfParity]


@dataclass(frozen=True)
class NetworkGraph:
    """A graph of the bundle. The checks take the name of its file, for messages, and the model; that of the
    float16 graph also the number of seeds. `check_half` None: the graph is float32 in every precision.
    """

    name: GraphName
    build: Build
    check: Check
    check_half: CheckHalf | None = None


def network_graphs(source: Source, map_size: int) -> list[NetworkGraph]:
    """Mapping, synthesis and, where `source` has them, decoder and encoder of maps of `map_size` pixels."""
    graphs = [_mapping(source.generator), _synthesis("synthesis", source.generator)]
    if source.decoder is not None:
        graphs.append(_synthesis("decoder", source.decoder))
    if source.reconstructor is not None:
        graphs.append(_encoder(source.reconstructor, map_size, source.generator.num_ws))
    if source.fields is not None:
        graphs.append(_fields(source.fields))
    return graphs


def _mapping(generator: Generator) -> NetworkGraph:
    def build(ops: Ops, precision: Precision) -> onnx.ModelProto:
        return mapping_model(generator, ops)

    def check(file: str, model: onnx.ModelProto, progress: Progress) -> Parity:
        return check_mapping(model, generator, progress)

    return NetworkGraph("mapping", build, check)


def _synthesis(name: GraphName, generator: Generator) -> NetworkGraph:
    def check(file: str, model: onnx.ModelProto, progress: Progress) -> Parity:
        return check_synthesis(file, model, generator, progress)

    build = partial(synthesis_model, generator)
    return NetworkGraph(name, build, check, partial(check_half_synthesis, generator))


def _fields(network: FieldNet) -> NetworkGraph:
    def build(ops: Ops, precision: Precision) -> onnx.ModelProto:
        return field_model(network)

    def check(file: str, model: onnx.ModelProto, progress: Progress) -> Parity:
        return check_fields(model, network, progress)

    return NetworkGraph("fields", build, check)


def _encoder(reconstructor: Reconstructor, map_size: int, num_ws: int) -> NetworkGraph:
    def build(ops: Ops, precision: Precision) -> onnx.ModelProto:
        return encoder_model(
            reconstructor.encoder, reconstructor.latent_avg, map_size, num_ws, ops, precision
        )

    def check(file: str, model: onnx.ModelProto, progress: Progress) -> Parity:
        return check_encoder(model, reconstructor, map_size, progress)

    return NetworkGraph("encoder", build, check, partial(check_half_encoder, build, map_size))
