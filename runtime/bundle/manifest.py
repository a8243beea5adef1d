"""The manifest of a bundle, `bundle.json`: what the bundle holds and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from ..errors import BadInput
from ..minutiae import PPI
from .ridge_noise import NoiseLayer
from .schema import FORMAT, FORMAT_VERSION, check_content

MANIFEST = "bundle.json"

GraphName = Literal["mapping", "synthesis", "encoder", "decoder", "fields"]
NoiseMode = Literal["const", "random", "none", "ridges"]
NOISE_MODES: tuple[NoiseMode, ...] = get_args(NoiseMode)


class Architecture(NamedTuple):
    """Sizes of a StyleGAN2 generator. `channels`: 1 (gray) or 3; `num_ws`: style inputs of synthesis."""

    resolution: int
    channels: int
    style_dim: int
    num_ws: int
    n_mlp: int
    channel_base: int
    channel_max: int

    @property
    def noise_shapes(self) -> list[tuple[int, int, int, int]]:
        """Shapes (1, 1, H, W) of the noise buffers: one at 4 px, two at each further resolution."""
        sizes = [4] + [2**level for level in range(3, self.resolution.bit_length()) for _ in range(2)]
        return [(1, 1, size, size) for size in sizes]


class ImageSize(NamedTuple):
    """The network's image, which the runtime resizes.

    Attributes:
        ppi: Of the network's image, pixels per inch.
        output_size: Of the resized image, pixels per side.
        output_ppi: Of the resized image.
    """

    ppi: float
    output_size: int
    output_ppi: float


class EncoderInput(NamedTuple):
    """`input_size`: pixels per side of the minutiae map; `w_plus`: it gives a w for every style input.
    `noise_layers`: layers of the decoder, by number, whose noise images it gives too.
    """

    input_size: int
    w_plus: bool
    noise_layers: tuple[int, ...] = ()


class Tuned(NamedTuple):
    """What was fastest on a kind of device (`backends.describe_device`): `fg-export tune` measured it."""

    device: str
    backend: str
    precision: Literal["fp32", "fp16"]
    batch: int
    images_per_second: float


class Recommended(NamedTuple):
    """Settings that the bundle's maker chose; they hold where the user gives none.

    A generator whose noise says where ridges run gives every finger the same minutiae unless it is drawn for
    each (`random`) or carries the finger's ridge map (`ridges`).

    Attributes:
        truncation: ψ of w_avg + ψ (w - w_avg).
        noise: `const`, `random`, `none` or, with `Manifest.ridge_noise`, `ridges`.
        edit_from: First style input that edits act on; the coarser ones before it determine the pattern.
        tuned: What computes on which device, at most one for each.
    """

    truncation: float = 1.0
    noise: NoiseMode = "const"
    edit_from: int = 0
    tuned: tuple[Tuned, ...] = ()

    def tuned_for(self, device: str) -> Tuned | None:
        """What was fastest on this device; None where nothing was measured."""
        return next((each for each in self.tuned if each.device == device), None)


class RidgeNoise(NamedTuple):
    """How a generator takes fingers.

    Attributes:
        layers: What the noise input of each layer is, coarsest first.
        looks: Names of the first numbers of z, each standard normal and the same in every finger.
    """

    layers: tuple[NoiseLayer, ...]
    looks: tuple[str, ...] = ()


class Graphs(NamedTuple):
    """Paths of the ONNX graphs in the bundle. `decoder`: a second synthesis graph, for reconstruction.
    `fields`: the encoder of a generator with ridge noise, raster of a template → orientation, period and
    contact.
    """

    mapping: str
    synthesis: str
    encoder: str | None = None
    decoder: str | None = None
    fields: str | None = None


class Engine(NamedTuple):
    """A TensorRT engine of a graph, for `gpu_architectures` and a `batch` of smallest, best, largest size.

    `ops`: what our custom nodes are in it, plugins or standard operators ("native"); an engine with plugins
    needs our plugin library where it runs, unless that is embedded in it. `report`: of the build, free form.
    """

    file: str
    graph: GraphName
    flavour: str  # the field of the file, whose name stays
    version: str
    gpu_architectures: tuple[str, ...]
    precision: str
    batch: tuple[int, int, int]
    ops: Literal["plugin", "native"] = "native"
    plugins_embedded: bool = False
    report: Mapping[str, Any] = {}


class FileRecord(NamedTuple):
    """SHA-256 (lower-case hex) and size of a file of the bundle."""

    sha256: str
    bytes: int


class Manifest(NamedTuple):
    """`bundle.json`. `files` (path → record) has every file but `bundle.json`; `write_bundle` fills it.

    `precisions`: graphs in a further precision, such as `{"fp16": {"synthesis": "synthesis.fp16.onnx"}}`,
    with the inputs and outputs of the float32 graph; a graph that is not there has none. `ridge_noise`: of a
    generator whose noise carries fingers.
    """

    name: str
    architecture: Architecture
    image: ImageSize
    encoder: EncoderInput | None
    graphs: Graphs
    tools: Mapping[str, str]
    provenance: Mapping[str, Any]
    parity: Mapping[str, Mapping[str, Any]]
    recommended: Recommended = Recommended()
    latents: str = "latents.npz"
    precisions: Mapping[str, Mapping[GraphName, str]] = {}
    engines: tuple[Engine, ...] = ()
    ridge_noise: RidgeNoise | None = None
    files: Mapping[str, FileRecord] = {}

    def graph_files(self) -> set[str]:
        """Paths in the bundle of all ONNX graphs, of all precisions."""
        plain = {path for path in self.graphs if path is not None}
        return plain.union(*(files.values() for files in self.precisions.values()))

    def to_json(self) -> dict[str, Any]:
        """The content of `bundle.json`: plain values, for `json.dumps`."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **_plain(self)}
        if self.ridge_noise is None:  # then the file is one that older versions read
            del content["ridge_noise"]
        if self.graphs.fields is None:
            del content["graphs"]["fields"]
        if not self.recommended.tuned:
            del content["recommended"]["tuned"]
        return json.loads(json.dumps(content, allow_nan=False))

    @staticmethod
    def from_json(content: dict[str, Any], source: str = MANIFEST) -> Manifest:
        """The manifest in `content`; `BadInput` names `source` and the field that is wrong."""
        check_content(content, source)
        fields = {key: value for key, value in content.items() if key not in ("format", "format_version")}
        encoder = content["encoder"]
        fields |= {
            "architecture": Architecture(**content["architecture"]),
            "image": ImageSize(**content["image"]),
            "encoder": _encoder_input(**encoder) if encoder else None,
            "graphs": Graphs(**content["graphs"]),
            "recommended": _recommended(**content.get("recommended", {})),
            "engines": tuple(_engine(**engine) for engine in content["engines"]),
            "ridge_noise": _ridge_noise(**content["ridge_noise"]) if "ridge_noise" in content else None,
            "files": {path: FileRecord(**record) for path, record in content["files"].items()},
        }
        manifest = Manifest(**fields)
        _check_consistency(manifest, source)
        return manifest


def _plain(value: Any) -> Any:
    """A value in which records are dictionaries."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return _plain(value._asdict()) if hasattr(value, "_asdict") else [_plain(each) for each in value]
    return value


def _recommended(tuned: Sequence[Mapping[str, Any]] = (), **fields: Any) -> Recommended:
    return Recommended(tuned=tuple(Tuned(**each) for each in tuned), **fields)


def _encoder_input(noise_layers: Sequence[int] = (), **fields: Any) -> EncoderInput:
    return EncoderInput(noise_layers=tuple(noise_layers), **fields)


def _ridge_noise(layers: Sequence[Mapping[str, Any]], looks: Sequence[str] = ()) -> RidgeNoise:
    return RidgeNoise(tuple(NoiseLayer(**layer) for layer in layers), tuple(looks))


def _engine(gpu_architectures: list[str], batch: tuple[int, int, int], **fields: Any) -> Engine:
    smallest, best, largest = batch
    return Engine(gpu_architectures=tuple(gpu_architectures), batch=(smallest, best, largest), **fields)


def _check_consistency(manifest: Manifest, source: str) -> None:
    """What the schema cannot say: relations between fields."""
    architecture, image, graphs = manifest.architecture, manifest.image, manifest.graphs
    num_ws = 2 * (architecture.resolution.bit_length() - 1) - 2
    if architecture.num_ws != num_ws:
        raise BadInput(
            f"{source}: architecture.num_ws: {architecture.num_ws};"
            f" resolution {architecture.resolution} has {num_ws}"
        )
    ppi = image.ppi * image.output_size / architecture.resolution
    if abs(ppi - image.output_ppi) > 0.01 * ppi:
        raise BadInput(
            f"{source}: image.output_ppi: {image.output_ppi:g}; resizing {architecture.resolution} px of"
            f" {image.ppi:g} ppi to {image.output_size} px gives {ppi:g} ppi"
        )
    if (noise := manifest.ridge_noise) is not None:
        if (count := len(noise.layers)) != len(architecture.noise_shapes):
            raise BadInput(
                f"{source}: ridge_noise.layers: {count}; this generator has {len(architecture.noise_shapes)}"
            )
        if round(architecture.resolution * PPI / image.ppi) % architecture.resolution:
            raise BadInput(
                f"{source}: image.ppi: {image.ppi:g}; with ridge_noise it must be {PPI}, which fingers have,"
                f" or {PPI} divided by a whole number"
            )
        if len(noise.looks) > architecture.style_dim:
            raise BadInput(f"{source}: ridge_noise.looks: {len(noise.looks)}; z has {architecture.style_dim}")
    elif manifest.recommended.noise == "ridges":
        raise BadInput(f"{source}: recommended.noise: ridges; this bundle has no ridge_noise")
    if (first := manifest.recommended.edit_from) >= num_ws:
        raise BadInput(f"{source}: recommended.edit_from: {first}; style inputs are 0-{num_ws - 1}")
    if (graphs.encoder is None) != (manifest.encoder is None):
        raise BadInput(f"{source}: encoder: graphs.encoder and encoder must both be given, or both be null")
    if manifest.encoder is not None:
        unknown = [i for i in manifest.encoder.noise_layers if i >= len(architecture.noise_shapes)]
        if unknown:
            last = len(architecture.noise_shapes) - 1
            raise BadInput(f"{source}: encoder.noise_layers: {unknown[0]}; this generator has 0-{last}")
    if graphs.fields is not None and (manifest.ridge_noise is None or graphs.encoder is not None):
        raise BadInput(f"{source}: graphs.fields: goes with ridge_noise, and without an encoder")
    if graphs.decoder is not None and graphs.encoder is None:
        raise BadInput(f"{source}: graphs.decoder: a decoder needs an encoder")
    named = {key: value for key, value in graphs._asdict().items() if value is not None}
    named |= {"latents": manifest.latents} | {f"engines.{i}": e.file for i, e in enumerate(manifest.engines)}
    for precision, files in manifest.precisions.items():
        named |= {f"precisions.{precision}.{graph}": file for graph, file in files.items()}
    for key, path in named.items():
        if path not in manifest.files:
            raise BadInput(f"{source}: {key}: {path} has no entry in files")
