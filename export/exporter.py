"""Checkpoints to bundle: graphs, latents, parity, manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnx

from fingergen.runtime.backends import Precision
from fingergen.runtime.bundle import Bundle, write_bundle
from fingergen.runtime.bundle.manifest import (
    Architecture,
    EncoderInput,
    Engine,
    GraphName,
    Graphs,
    ImageSize,
    Manifest,
    Recommended,
)
from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae.raster import CELLS, CHANNELS, FIELDS
from fingergen.training.networks import Generator

from . import engines
from .checks.half import HalfParity, compare_with_float32, default_seeds
from .checks.parity import Parity, Progress, compare_with_pytorch, open_session, silent
from .inputs import SourceNetworks, read_networks
from .latents import AVERAGE_SEEDS, bundle_latents
from .networks import networks_of
from .onnx_graphs.builder import OPSET
from .onnx_graphs.encoder import gives_w_plus
from .onnx_graphs.ops import OPS

OUTPUT_PPI = 500.0
TOOLS = ("fingergen", "torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Options:
    """What the checkpoints do not say, or say wrongly.

    `ppi` of the network's images and `map_size`, pixels per side of the encoder's input: None takes the
    checkpoint's, or the published convention (images of the view that 512 px of 500 ppi show; maps of 256
    px). The runtime resizes images to `output_size` pixels per side, or to `output_ppi`: give one at most;
    neither gives 500 ppi.

    `recommended`: what the runtime does where its user gives no truncation or noise.

    `precision` fp16 adds float16 graphs to the float32 ones, `engine` TensorRT engines. Where float16 is in
    either, it is compared with float32 on `check_seeds` seeds; None: `checks.half.default_seeds`.
    """

    name: str
    ppi: float | None = None
    output_size: int | None = None
    output_ppi: float | None = None
    map_size: int | None = None
    recommended: Recommended = field(default_factory=Recommended)
    ops: Literal["custom", "native"] = "custom"
    precision: Precision = "fp32"
    engine: engines.EngineOptions | None = None
    check_seeds: int | None = None


def export_bundle(
    checkpoints: Sequence[Path],
    out: Path,
    options: Options,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Manifest:
    """Write the bundle `out` from a generator checkpoint, a reconstruction checkpoint or both.

    A bundle beside a generator with ridge noise lends its field network: the graph is copied as it is. Every
    other graph is compared with PyTorch before anything is written; `progress` is told each step. `BadInput`:
    a checkpoint cannot be used, `out` exists without `overwrite`, or engines cannot be built here;
    `FingerGenError`: outside tolerance, or TensorRT refuses a graph.
    """
    target = engines.resolve(options.engine) if options.engine else None
    progress(f"reading {', '.join(map(str, checkpoints))}")
    source = read_networks(checkpoints)
    image = _image_size(source, options)
    map_size = options.map_size or source.map_size
    if options.recommended.edit_from >= source.generator.num_ws:
        raise BadInput(
            f"--edit-from {options.recommended.edit_from}: this generator has style inputs"
            f" 0-{source.generator.num_ws - 1}"
        )
    recommended = options.recommended
    if source.ridge_noise is not None and recommended.noise == "const":  # stored noise has no finger
        recommended = recommended._replace(noise="ridges")
    networks = networks_of(source, map_size)
    ops = OPS[options.ops]
    files: dict[GraphName, str] = {}
    half_files: dict[GraphName, str] = {}
    parity: dict[str, Parity | HalfParity] = {}
    built: list[Engine] = []
    contents: dict[str, bytes] = {}

    for network in networks:
        file = f"{network.name}.onnx"
        model = network.build(ops, "fp32")
        parity[network.name] = compare_with_pytorch(network, file, model, progress)
        files[network.name], contents[file] = file, model.SerializeToString()
    lent_parity: dict[str, Any] = {}
    if source.lender is not None:
        progress(f"copying the field network of {source.lender.path}")
        files["fields"], contents["fields.onnx"] = "fields.onnx", _lent_fields(source.lender)
        lent_parity = {key: value for key, value in source.lender.manifest.parity.items() if key == "fields"}
    if "fp16" in (options.precision, target and target.options.precision):
        for network in networks:
            if network.has_half:
                file = f"{network.name}.fp16.onnx"
                model = network.build(ops, "fp16")
                parity[f"{network.name}.fp16"] = compare_with_float32(
                    network, file, model, options.check_seeds or default_seeds(source.generator), progress
                )
                if options.precision == "fp16":
                    half_files[network.name], contents[file] = file, model.SerializeToString()
    if target is not None:
        for network in networks:
            engine_precision = target.options.precision if network.has_half else "fp32"
            progress(f"building the {network.name} engine, {engine_precision}, {target.description}")
            engine, content = engines.build_engine(network.name, network.build, engine_precision, target)
            built.append(engine)
            contents[engine.file] = content

    progress("computing SeFa directions and average w")
    latents = bundle_latents(source)
    manifest = Manifest(
        name=options.name,
        architecture=_architecture(source.generator),
        image=image,
        encoder=_encoder_input(source, map_size),
        graphs=Graphs(**files),
        precisions={"fp16": half_files} if half_files else {},
        recommended=recommended,
        ridge_noise=source.ridge_noise,
        engines=tuple(built),
        tools={tool: version(tool) for tool in TOOLS},
        provenance=_provenance(source, options),
        parity={name: figures.to_json() for name, figures in parity.items()} | lent_parity,
    )
    progress(f"writing {out}")
    return write_bundle(out, manifest, contents | {manifest.latents: latents.to_bytes()}, overwrite)


def _lent_fields(lender: Bundle) -> bytes:
    """The graph of a bundle's field network; `BadInput` if it does not read rasters as this version makes
    them."""
    file = cast(str, lender.manifest.graphs.fields)
    graph = lender.read(file)
    raster = np.zeros((2, CHANNELS, CELLS, CELLS), np.float32)
    try:
        (fields,) = open_session(onnx.load_model_from_string(graph)).run(None, {"raster": raster})
    except Exception as error:  # ONNX Runtime's own classes
        raise BadInput(
            f"{lender.path / file}: reads no raster of {CHANNELS}x{CELLS}x{CELLS} ({_line(error)})"
        ) from error
    if fields.shape != (2, FIELDS, CELLS, CELLS) or not np.isfinite(fields).all():
        raise BadInput(
            f"{lender.path / file}: does not give {FIELDS} fields of {CELLS}x{CELLS} finite values"
        )
    return graph


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _encoder_input(source: SourceNetworks, map_size: int) -> EncoderInput | None:
    if source.reconstructor is None:
        return None
    encoder, latent_avg = source.reconstructor.encoder, source.reconstructor.latent_avg
    return EncoderInput(map_size, gives_w_plus(encoder, latent_avg), _noise_layers(source, map_size))


def _noise_layers(source: SourceNetworks, map_size: int) -> tuple[int, ...]:
    """Layers whose noise images the encoder predicts from maps of `map_size`; `BadInput` if not all exist."""
    assert source.reconstructor is not None
    levels = source.reconstructor.encoder.noise_levels
    sizes = [map_size >> halvings for halvings in range(len(source.reconstructor.encoder.depth), -1, -1)]
    predicted = sizes[:levels]
    shapes = source.generator.noise_shapes()
    layers = tuple(i for i, shape in enumerate(shapes) if shape[2] in predicted)
    if len(layers) != 2 * levels:
        raise BadInput(
            f"map size {map_size}: the encoder would predict noise of {predicted} pixels, which are no sizes"
            f" of a generator of {source.generator.resolution}; give the size that it was trained with"
        )
    return layers


def _image_size(source: SourceNetworks, options: Options) -> ImageSize:
    ppi = options.ppi or source.ppi
    resolution = source.generator.resolution
    size = options.output_size or round(resolution * (options.output_ppi or OUTPUT_PPI) / ppi)
    if not 8 <= size <= 8192:  # as in the schema of bundles; reported before the work, not after
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


def _provenance(source: SourceNetworks, options: Options) -> dict[str, Any]:
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
        "w_avg": {"mean_over_seeds": [0, AVERAGE_SEEDS - 1]},
    }
