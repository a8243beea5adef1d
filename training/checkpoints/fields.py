"""Checkpoints of the field network, the encoder of generators with ridge noise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fingergen.runtime.errors import BadInput

from ..networks.field_net import FieldNet


@dataclass
class FieldCheckpoint:
    """A field network.

    Attributes:
        network: In evaluation mode, on the CPU.
        images_seen: How many templates it was trained on; None where that is not known.
        config: Of its training.
        source_format: Whose file it is.
    """

    network: FieldNet
    images_seen: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    source_format: str = "fingergen"


def field_checkpoint(path: Path, content: Mapping[str, Any]) -> FieldCheckpoint:
    """The checkpoint in `content`.

    Args:
        path: The file that it was read from, for the error.
        content: The dictionary in that file.

    Returns:
        The checkpoint.

    Raises:
        BadInput: If it is not a whole one.
    """
    try:
        config = dict(content["config"])
        network = FieldNet(tuple(int(width) for width in config["widths"]))  # type: ignore[arg-type]
        network.load_state_dict(content["field_net"])
        return FieldCheckpoint(network.eval().requires_grad_(False), int(content["images_seen"]), config)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path}: not a whole checkpoint of a field network; train it with fg-train encoder"
        ) from error
