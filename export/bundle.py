"""Checkpoints to bundle: graphs, latents, parity, manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from fingergen.runtime.bundle import Latents, write_bundle
from fingergen.runtime.errors import BadInput
from fingergen.runtime.manifest import Architecture, EncoderInput, Graphs, ImageSize, Manifest
from fingergen.training.networks import Generator
from numpy.typing import NDArray

from . import average, sefa
from .encoder import encoder_model, gives_w_plus
from .graph import OPSET
from .mapping import mapping_model
from .ops import OPS
from .parity import Parity, Progress, check_encoder, check_mapping, check_synthesis, silent
from .sources import Source, read_source
from .synthesis import synthesis_model

OUTPUT_PPI = 500.0
TOOLS = ("fingergen", "torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Options:
    """What the checkpoints do not say, or say wrongly.

    `ppi` of the network's images and `map_size`, pixels a side of the encoder's input: None takes the
    checkpoint's, or the published convention (250 ppi; maps as large as the images). The runtime resizes
    images to `output_size` pixels a side, or to `output_ppi`: give one at most; neither gives 500 ppi.
    """

    name: str
    ppi: float | None = None
    output_size: int | None = None
    output_ppi: float | None = None
    map_size: int | None = None
    ops: Literal["custom", "native"] = "custom"


def export_bundle(
    checkpoints: Sequence[Path],
    out: Path,
    options: Options,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Write the bundle `out` from a generator checkpoint, a reconstruction checkpoint or both.

    Every graph is compared with PyTorch before anything is written; `progress` is told each step. `BadInput`:
    a checkpoint cannot be used, or `out` exists without `overwrite`; `FingerGenError`: outside tolerance.
    """
    progress(f"reading {', '.join(map(str, checkpoints))}")
    source = read_source(checkpoints)
    generator, ops = source.generator, OPS[options.ops]
    image = _image_size(source, options)
    map_size = options.map_size or source.map_size
    models: dict[str, onnx.ModelProto] = {}
    parity: dict[str, Parity] = {}

    models["mapping"] = mapping_model(generator, ops)
    parity["mapping"] = check_mapping(models["mapping"], generator, progress)
    for graph, network in (("synthesis", generator), ("decoder", source.decoder)):
        if network is not None:
            models[graph] = synthesis_model(network, ops)
            parity[graph] = check_synthesis(f"{graph}.onnx", models[graph], network, progress)
    encoder_input = None
    if source.reconstructor is not None:
        encoder, latent_avg = source.reconstructor.encoder, source.reconstructor.latent_avg
        models["encoder"] = encoder_model(encoder, latent_avg, map_size, generator.num_ws)
        parity["encoder"] = check_encoder(models["encoder"], source.reconstructor, map_size, progress)
        encoder_input = EncoderInput(map_size, gives_w_plus(encoder, latent_avg))

    progress("computing SeFa directions and average w")
    latents = _latents(source)
    files = {name: f"{name}.onnx" for name in models}
    manifest = Manifest(
        name=options.name,
        architecture=_architecture(generator),
        image=image,
        encoder=encoder_input,
        graphs=Graphs(**files),
        tools={tool: version(tool) for tool in TOOLS},
        provenance=_provenance(source, options),
        parity={name: figures.to_json() for name, figures in parity.items()},
    )
    progress(f"writing {out}")
    contents = {files[name]: model.SerializeToString() for name, model in models.items()}
    return write_bundle(out, manifest, contents | {manifest.latents: latents.to_bytes()}, overwrite)


def _image_size(source: Source, options: Options) -> ImageSize:
    ppi = options.ppi or source.ppi
    resolution = source.generator.resolution
    size = options.output_size or round(resolution * (options.output_ppi or OUTPUT_PPI) / ppi)
    if not 8 <= size <= 8192:  # as in the schema of bundles; told before the work, not after
        raise BadInput(f"output size {size} px, from {resolution} px of {ppi:g} ppi; must be from 8 to 8192")
    return ImageSize(ppi, size, size / resolution * ppi)


def _architecture(generator: Generator) -> Architecture:
    widths = generator.widths
    return Architecture(
        resolution=generator.resolution,
        channels=generator.channels,
        style_dim=generator.style_dim,
        num_ws=generator.num_ws,
        n_mlp=generator.n_mlp,
        channel_base=widths[generator.resolution] * generator.resolution,
        channel_max=max(widths.values()),
    )


def _latents(source: Source) -> Latents:
    directions, singular_values = sefa.directions(source.generator)
    return Latents(
        w_avg=average.average_w(source.generator),
        sefa_directions=directions,
        sefa_singular_values=singular_values,
        noise=_noise(source.generator),
        decoder_noise=None if source.decoder is None else _noise(source.decoder),
    )


def _noise(generator: Generator) -> tuple[NDArray[np.float32], ...]:
    return tuple(buffer.numpy() for buffer in generator.stored_noise())


def _provenance(source: Source, options: Options) -> dict[str, Any]:
    networks = {"generator": source.generator.architecture()}
    if source.reconstructor is not None:
        networks["encoder"] = source.reconstructor.encoder.architecture()
    if source.decoder is not None:
        networks["decoder"] = source.decoder.architecture()
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoints": list(source.checkpoints),
        "networks": networks,
        "graphs": {"ops": options.ops, "opset": OPSET},
        "w_avg": {"mean_over_seeds": [0, average.SEEDS - 1]},
    }
