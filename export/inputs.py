"""The networks to export, from one or two checkpoints, and a bundle that lends what they lack."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from fingergen.runtime.bundle import Bundle, read_bundle
from fingergen.runtime.bundle.manifest import Manifest, RidgeNoise
from fingergen.runtime.bundle.ridge_noise import NoiseLayer
from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import (
    PUBLISHED_SIZE,
    FieldCheckpoint,
    GeneratorCheckpoint,
    ReconstructionCheckpoint,
    load_checkpoint,
    published_ppi,
)
from fingergen.training.networks import Generator, Reconstructor
from fingergen.training.networks.field_net import FieldNet

Checkpoint = GeneratorCheckpoint | ReconstructionCheckpoint | FieldCheckpoint
_ROLES = {
    GeneratorCheckpoint: "generator",
    ReconstructionCheckpoint: "reconstruction",
    FieldCheckpoint: "fields",
}
SYNTHESIS = ("widths", "image_padding", "styled_noise")  # alike where only weights may differ
SHARED = ("resolution", "channels", "style_dim", "num_ws")  # what generator and decoder must have in common


@dataclass(frozen=True)
class SourceNetworks:
    """What a bundle is made from.

    `decoder`: the reconstruction checkpoint's generator, None if its synthesis network is `generator`'s.
    `ridge_noise`: what the generator's noise inputs take, if they carry fingers; `fields`: the network that
    reads a template for them. `ppi`: of the networks' images; `map_size`: pixels per side of the encoder's
    input. `checkpoints`: for the manifest's provenance, an entry per file. `lender`: a bundle whose field
    network, a graph already, goes with the generator.
    """

    generator: Generator
    reconstructor: Reconstructor | None
    decoder: Generator | None
    ppi: float
    map_size: int
    checkpoints: tuple[dict[str, Any], ...]
    ridge_noise: RidgeNoise | None = None
    fields: FieldNet | None = None
    lender: Bundle | None = None


def read_networks(paths: Sequence[Path]) -> SourceNetworks:
    """Read the checkpoint of a generator, of a reconstruction or of both, or those of a generator with ridge
    noise and of a field network, in any order. A bundle among them lends a generator its field network.

    `BadInput` if they do not go together.
    """
    bundles = [path for path in paths if path.is_dir()]
    files = [path for path in paths if path not in bundles]
    loaded: list[tuple[Path, Checkpoint]] = [(path, load_checkpoint(path)) for path in files]
    generators = [(path, each) for path, each in loaded if isinstance(each, GeneratorCheckpoint)]
    reconstructions = [(path, each) for path, each in loaded if isinstance(each, ReconstructionCheckpoint)]
    encoders = [(path, each) for path, each in loaded if isinstance(each, FieldCheckpoint)]
    for kind, found in (
        ("generator", generators),
        ("reconstruction", reconstructions),
        ("field network's", encoders),
    ):
        if len(found) > 1:
            raise BadInput(f"{found[1][0]}: a second {kind} checkpoint; a bundle takes one of each kind")
    reconstruction = reconstructions[0][1] if reconstructions else None
    reconstructor = reconstruction.reconstructor().eval() if reconstruction else None
    decoder = None
    ridge_noise = _ridge_noise(*generators[0]) if generators else None
    if encoders and ridge_noise is None:
        raise BadInput(f"{encoders[0][0]}: a field network; it goes with a generator with ridge noise")
    if encoders and reconstructions:
        raise BadInput(f"{encoders[0][0]}: a second encoder, beside {reconstructions[0][0]}; give one")
    if generators:
        generator = generators[0][1].g_ema.eval()
        if reconstructor is not None:
            _check_pair(generator, reconstructor.decoder, reconstructions[0][0])
            if not _same_synthesis(generator, reconstructor.decoder):
                decoder = reconstructor.decoder
    else:
        assert reconstructor is not None
        generator = reconstructor.decoder
    ordered: list[tuple[Path, Checkpoint]] = [*generators, *reconstructions, *encoders]
    source = SourceNetworks(
        generator,
        reconstructor,
        decoder,
        _from_config(ordered, "ppi", published_ppi(generator.resolution)),
        int(_from_config(reconstructions, "map_size", PUBLISHED_SIZE)),
        tuple(_provenance(path, each) for path, each in ordered),
        ridge_noise,
        encoders[0][1].network if encoders else None,
    )
    return _with_lender(source, bundles) if bundles else source


def _with_lender(source: SourceNetworks, bundles: Sequence[Path]) -> SourceNetworks:
    """`source` with the field network of the one bundle; `BadInput` if that is of no use to it."""
    if len(bundles) > 1:
        raise BadInput(f"{bundles[1]}: a second bundle; give one, beside the checkpoints")
    lender = read_bundle(bundles[0])
    manifest = lender.manifest
    if manifest.graphs.fields is None:
        raise BadInput(f"{lender.path}: has no field network, which is all that a bundle lends; leave it out")
    if source.ridge_noise is None:
        raise BadInput(f"{lender.path}: lends a field network; it goes with a generator with ridge noise")
    if source.fields is not None:
        raise BadInput(f"{lender.path}: a second field network; leave out the bundle or the checkpoint")
    if source.reconstructor is not None:
        raise BadInput(f"{lender.path}: a second encoder; leave out the bundle or the reconstruction")
    wanted, found = (
        source.generator.resolution / source.ppi,
        manifest.architecture.resolution / manifest.image.ppi,
    )
    if abs(wanted - found) > 0.01:
        raise BadInput(
            f"{lender.path}: its field network reads templates of {found:.2f} inches, the generator's images"
            f" show {wanted:.2f}; give a bundle whose images show as much"
        )
    return replace(source, lender=lender, checkpoints=(*source.checkpoints, _lent_provenance(manifest)))


def _lent_provenance(manifest: Manifest) -> dict[str, Any]:
    """What the lender says of its field network's checkpoint, with the graph that is copied."""
    file = cast(str, manifest.graphs.fields)
    known = [each for each in manifest.provenance["checkpoints"] if each["role"] == "fields"]
    graph = {"file": file, "role": "fields", "sha256": manifest.files[file].sha256, "format": "bundle"}
    return {**graph, "bundle": manifest.name, "checkpoints": known}


def _ridge_noise(path: Path, checkpoint: GeneratorCheckpoint) -> RidgeNoise | None:
    """What the noise inputs take, from the training configuration of a checkpoint of ours."""
    config = checkpoint.config if checkpoint.source_format == "fingergen" else {}
    if config.get("noise") != "ridges":
        return None
    try:
        layers = tuple(NoiseLayer(**layer) for layer in config["noise_layers"])
        return RidgeNoise(layers, tuple(config.get("looks", ())))
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: fingergen.config.noise_layers: missing or damaged ({error})") from error


def _from_config(checkpoints: Sequence[tuple[Path, Checkpoint]], key: str, default: float) -> float:
    """A number from the training configuration of the first checkpoint of ours that has it."""
    for path, checkpoint in checkpoints:
        if checkpoint.source_format == "fingergen" and key in checkpoint.config:
            value = checkpoint.config[key]
            if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 10000:
                raise BadInput(f"{path}: fingergen.config.{key}: {value!r}; must be a number from 1 to 10000")
            return value
    return default


def _check_pair(generator: Generator, decoder: Generator, path: Path) -> None:
    for name in SHARED:
        expected, found = getattr(generator, name), getattr(decoder, name)
        if expected != found:
            raise BadInput(
                f"{path}: decoder {name}: {found}, the generator's is {expected}; export them as two bundles"
            )


def _same_synthesis(generator: Generator, decoder: Generator) -> bool:
    """Whether both give the same image for the same w; their mapping networks (`style.*`) may differ."""
    if any(getattr(generator, name) != getattr(decoder, name) for name in SYNTHESIS):
        return False
    weights = decoder.state_dict()
    return all(
        torch.equal(value, weights[key])
        for key, value in generator.state_dict().items()
        if not key.startswith("style.")
    )


def _provenance(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    entry: dict[str, Any] = {"file": path.name, "role": _ROLES[type(checkpoint)], "sha256": sha256}
    entry["format"] = checkpoint.source_format
    if checkpoint.images_seen is not None:
        entry["images_seen"] = checkpoint.images_seen
    if checkpoint.source_format == "fingergen":  # foreign options name folders of whoever trained
        entry["config"] = checkpoint.config
    return entry
