"""What our own files say beyond the weights: plain values under one key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingergen.runtime.errors import BadInput

KEY = "fingergen"  # only our files have it
FORMAT_VERSION = 1
PUBLISHED_PPI = 250.0  # SynFing's 256 px images, which it resizes to 512 px of 500 ppi
PUBLISHED_SIZE = 256  # of these images, and of the maps that the published encoder reads


def published_ppi(resolution: int) -> float:
    """Pixels per inch of images of `resolution` pixels a side that show what the published ones show."""
    return PUBLISHED_PPI * resolution / PUBLISHED_SIZE


@dataclass(frozen=True)
class Description:
    """Architectures of `generator`, `discriminator`, `encoder`, `decoder`, and the training so far."""

    networks: dict[str, dict[str, Any]]
    images_seen: int
    config: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        plain = {"format_version": FORMAT_VERSION, **vars(self)}
        json.dumps(plain)  # TypeError here, rather than a file that the restricted unpickler refuses
        return plain


def read_description(path: Path, content: Mapping[str, Any]) -> Description | None:
    """The description in the checkpoint `content`; None for a foreign file, `BadInput` for a damaged one."""
    if KEY not in content:
        return None
    plain = content[KEY]
    if not isinstance(plain, dict) or not isinstance(plain.get("format_version"), int):
        raise BadInput(f"{path}: '{KEY}' lacks its 'format_version'")
    if plain["format_version"] > FORMAT_VERSION:
        raise BadInput(
            f"{path}: format version {plain['format_version']}, not {FORMAT_VERSION}; update FingerGen"
        )
    for name, kind in (("networks", dict), ("images_seen", int), ("config", dict)):
        if not isinstance(plain.get(name), kind):
            raise BadInput(f"{path}: '{KEY}.{name}' is missing or no {kind.__name__}")
    return Description(plain["networks"], plain["images_seen"], plain["config"])


def mapping_rate(path: Path, description: Description | None, network: str) -> dict[str, float]:
    """The argument `lr_mlp` of a generator, which no shape tells; foreign files have the default."""
    if description is None:
        return {}
    architecture = description.networks.get(network)
    rate = architecture.get("lr_mlp") if isinstance(architecture, dict) else None
    if not isinstance(rate, float):
        raise BadInput(f"{path}: '{KEY}.networks.{network}.lr_mlp' is missing or no number")
    return {"lr_mlp": rate}
