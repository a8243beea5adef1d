"""Checkpoint files: read without running anything that they contain, written whole or not at all."""

import argparse
import io
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically

# Classes beyond PyTorch's own list that published checkpoints need; none runs code when it is rebuilt.
SAFE_CLASSES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a PyTorch file, tensors on the CPU; `BadInput` for anything else.

    PyTorch's restricted unpickler rebuilds tensors, plain containers and `SAFE_CLASSES`, nothing else.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    with file, torch.serialization.safe_globals(SAFE_CLASSES), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other kinds of file: the error below says it
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a malformed file can make the unpickler raise anything
            raise BadInput(f"{path}: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path}: holds a {type(content).__name__}, not the dictionary of a checkpoint")
    return content


def _reason(error: Exception) -> str:
    refused = re.search(r"GLOBAL (\S+)|function (.+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and refused:
        return (
            f"wants to run {refused[1] or refused[2]}; refused: a checkpoint holds tensors and plain values"
        )
    return "is no PyTorch checkpoint, or not the whole of one; fetch or copy it again"


def optional_dict(path: Path, content: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """`content[key]`, None if it is missing; `BadInput` if it is no dictionary."""
    value = content.get(key)
    if value is not None and not isinstance(value, dict):
        raise BadInput(f"{path}: '{key}' is no dict but {type(value).__name__}")
    return value


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Save `content` as a PyTorch file; a reader sees the old file or the new one, never a part."""
    file = io.BytesIO()
    torch.save(dict(content), file)
    write_atomically(path, file.getvalue())
