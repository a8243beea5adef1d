"""Checkpoints: read ours, the SynFing release's and rosinality's; write ours. No code in a file is run."""

from pathlib import Path

from fingergen.runtime.errors import BadInput

from .description import PUBLISHED_PPI, PUBLISHED_SIZE, published_ppi
from .fields import FieldCheckpoint, field_checkpoint
from .files import read
from .generator import GeneratorCheckpoint, generator_checkpoint, load_generator, save_generator
from .reconstruction import (
    ReconstructionCheckpoint,
    load_reconstruction,
    reconstruction_checkpoint,
    save_reconstruction,
)

__all__ = [
    "PUBLISHED_PPI",
    "PUBLISHED_SIZE",
    "FieldCheckpoint",
    "GeneratorCheckpoint",
    "ReconstructionCheckpoint",
    "load_checkpoint",
    "load_generator",
    "load_reconstruction",
    "published_ppi",
    "save_generator",
    "save_reconstruction",
]


def load_checkpoint(path: Path | str) -> GeneratorCheckpoint | ReconstructionCheckpoint | FieldCheckpoint:
    """Read a checkpoint of any kind, as its content says.

    Args:
        path: The file.

    Returns:
        The checkpoint; its networks are in evaluation mode, on the CPU.

    Raises:
        BadInput: The file is no checkpoint, or not a whole one.
    """
    path = Path(path)
    content = read(path)
    if "state_dict" in content:
        return reconstruction_checkpoint(path, content)
    if "field_net" in content:
        return field_checkpoint(path, content)
    if "g_ema" in content:
        return generator_checkpoint(path, content)
    found = ", ".join(repr(key) for key in list(content)[:8]) or "nothing"
    raise BadInput(
        f"{path}: has neither 'g_ema' (a generator) nor 'state_dict' (a reconstruction), but {found}"
    )
