"""A small bundle with random weights, from our own networks and graph builders: it runs in milliseconds."""

from pathlib import Path
from typing import Literal

import torch

from fingergen.export.latents import average_w, sefa_directions
from fingergen.export.onnx_graphs.encoder import encoder_model
from fingergen.export.onnx_graphs.generator import synthesis_model
from fingergen.export.onnx_graphs.mapping import mapping_model
from fingergen.export.onnx_graphs.ops import OPS
from fingergen.runtime.bundle import Latents, write_bundle
from fingergen.runtime.bundle.manifest import Architecture, EncoderInput, Graphs, ImageSize, Manifest
from fingergen.training.networks import Encoder, Generator

MAP_SIZE = 32


def generator(seed: int, channels: int = 1, **options: bool) -> Generator:
    torch.manual_seed(seed)
    network = Generator(
        resolution=32,
        channels=channels,
        style_dim=32,
        n_mlp=2,
        channel_base=256,
        channel_max=16,
        **options,
    )
    for name, parameter in network.named_parameters():
        if name.endswith("noise.weight"):
            parameter.data.fill_(0.2)
        if name.endswith("noise.modulation"):
            parameter.data.normal_()
    return network.eval().requires_grad_(False)


def encoder(seed: int) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(depth=(1, 1), width=8, style_dim=32).eval().requires_grad_(False)


def write_tiny_bundle(
    out: Path,
    channels: int = 1,
    with_encoder: bool = True,
    own_decoder: bool = False,
    name: str = "tiny",
    form: Literal["custom", "native"] = "custom",
    **options: bool,
) -> Path:
    """Generator of seed 1, with these `options`, encoder of seed 2; a decoder of its own has seed 3."""
    synthesis, ops = generator(1, channels, **options), OPS[form]
    models = {"mapping": mapping_model(synthesis, ops), "synthesis": synthesis_model(synthesis, ops)}
    if with_encoder:
        models["encoder"] = encoder_model(encoder(2), None, MAP_SIZE, synthesis.num_ws, ops)
    decoder = generator(3, channels) if own_decoder else None
    if decoder is not None:
        models["decoder"] = synthesis_model(decoder, ops)
    directions, singular_values = sefa_directions(synthesis)
    latents = Latents(
        average_w(synthesis, 64),
        directions,
        singular_values,
        tuple(buffer.numpy() for buffer in synthesis.stored_noise()),
        None if decoder is None else tuple(buffer.numpy() for buffer in decoder.stored_noise()),
    )
    manifest = Manifest(
        name=name,
        architecture=Architecture(
            resolution=32,
            channels=channels,
            style_dim=32,
            num_ws=8,
            n_mlp=2,
            channel_base=256,
            channel_max=16,
        ),
        image=ImageSize(ppi=250, output_size=64, output_ppi=500),
        encoder=EncoderInput(MAP_SIZE, w_plus=False) if with_encoder else None,
        graphs=Graphs(**{graph: f"{graph}.onnx" for graph in models}),
        tools={"fingergen": "0.1.0"},
        provenance={
            "created": "2026-01-01T00:00:00Z",
            "checkpoints": [],
            "networks": {"generator": synthesis.architecture()},
        },
        parity={},
    )
    contents = {f"{graph}.onnx": model.SerializeToString() for graph, model in models.items()}
    write_bundle(out, manifest, contents | {"latents.npz": latents.to_bytes()})
    return out
