"""What our own files say beyond the weights: plain values under one key."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from fingergen.runtime.errors import BadInput

from ..networks.generator import ImagePadding

KEY = "fingergen"  # only our files have it
FORMAT_VERSION = 1
DESCRIPTION_BYTES = 2**20
PUBLISHED_PPI = 250.0  # SynFing's 256 px images, which it resizes to 512 px of 500 ppi
PUBLISHED_SIZE = 256  # of these images, and of the maps that the published encoder reads


def published_ppi(resolution: int) -> float:
    """The resolution of images that show as much of a finger as the published ones do.

    Args:
        resolution: Pixels per side.

    Returns:
        Pixels per inch.
    """
    return PUBLISHED_PPI * resolution / PUBLISHED_SIZE


@dataclass(frozen=True)
class Description:
    """Architectures of `generator`, `discriminator`, `encoder`, `decoder`, and the training so far."""

    networks: dict[str, dict[str, Any]]
    images_seen: int
    config: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        """The description as plain values, for the entry `fingergen` of a checkpoint."""
        plain = {"format_version": FORMAT_VERSION, **vars(self)}
        json.dumps(plain)  # TypeError here, rather than a file that the restricted unpickler refuses
        return plain


def check_plain(where: str, value: object) -> None:
    """`BadInput` where `value` cannot go into a bundle's manifest: before an export's work, not after."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"{where}: holds text that is not Unicode (a lone surrogate)") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"{where}: holds what JSON cannot: {error}") from None
    if len(text) > DESCRIPTION_BYTES:
        raise BadInput(f"{where}: {len(text)} bytes as JSON; at most {DESCRIPTION_BYTES}")


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
    if isinstance(plain["images_seen"], bool) or not 0 <= plain["images_seen"] < 2**63:
        raise BadInput(f"{path}: '{KEY}.images_seen': {plain['images_seen']}; must be a count of images")
    for name in ("networks", "config"):
        check_plain(f"{path}: {KEY}.{name}", plain[name])
    return Description(plain["networks"], plain["images_seen"], plain["config"])


def shapeless(path: Path, description: Description | None, network: str) -> dict[str, Any]:
    """The arguments of a generator that no shape shows, `lr_mlp`, `image_padding` and `raw_z`; foreign files
    have the defaults."""
    if description is None:
        return {}
    architecture = description.networks.get(network)
    where = f"{path}: '{KEY}.networks.{network}"
    if not isinstance(architecture, dict):
        raise BadInput(f"{where}' is missing or no dict")
    rate = architecture.get("lr_mlp")
    if not isinstance(rate, float) or not 0 < rate < math.inf:
        raise BadInput(f"{where}.lr_mlp' is missing or no positive number")
    padding = architecture.get("image_padding", "zeros")  # of files written before there was a choice
    if padding not in get_args(ImagePadding):
        raise BadInput(f"{where}.image_padding' is none of {', '.join(get_args(ImagePadding))}")
    raw = architecture.get("raw_z", False)  # likewise
    if not isinstance(raw, bool):
        raise BadInput(f"{where}.raw_z' is neither true nor false")
    return {"lr_mlp": rate, "image_padding": padding, "raw_z": raw}
