"""Checkpoint files: read without running anything that they contain, written whole or not at all."""

import argparse
import contextlib
import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fingergen.runtime.errors import BadInput, printable
from fingergen.runtime.files import write_atomically

from .plain_values import STAND_INS, NotPlain, plain

HEAD_BYTES = 2**20  # in which a pickle of networks names the modules of its code
PLAIN_MODULES = ("torch", "collections", "numpy", "argparse", "pathlib", "_codecs")  # of what may be there
NVLABS = (b"torch_utils", b"dnnlib")  # modules of StyleGAN2-ADA and StyleGAN3; of StyleGAN and StyleGAN2


def read(path: Path) -> dict[str, Any]:
    """Read a PyTorch file.

    PyTorch's restricted unpickler rebuilds tensors, plain containers, namespaces and the values of
    `plain_values`, and nothing else.

    Returns:
        The dictionary in the file, tensors on the CPU; NumPy's arrays are tensors, its scalars numbers, paths
        text.

    Raises:
        BadInput: the file cannot be read, is damaged, is another kind of file, or wants to run code.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    with file, torch.serialization.safe_globals([*STAND_INS, argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other kinds of file: the error below says it
        if _is_zip(path) and (member := damaged_member(path)):
            named = printable(member[:100])
            raise BadInput(f"{path}: is damaged ({named} does not fit its checksum); fetch or copy it again")
        try:
            content = plain(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # a malformed file can make the unpickler raise anything
            raise BadInput(f"{path}: {printable(_reason(path, error))}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path}: holds a {type(content).__name__}, not the dictionary of a checkpoint")
    return content


def damaged_member(path: Path) -> str | None:
    """The first part of a ZIP file whose bytes are not what its checksum says; None where all are.

    PyTorch's own reader does not look. A file that is no ZIP, or is cut off, is named itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except Exception:  # of zipfile and zlib, which have no common class
        return path.name


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # its end says what zipfile does not read
        return True


def _reason(path: Path, error: Exception) -> str:
    """Why the file could not be read, and the fix; by what the file is, as far as possible."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**27:
        return (
            "is a safetensors file; load it with `safetensors.torch.load_file` and save the tensors with"
            " `torch.save({'g_ema': tensors}, …)`"
        )
    if not _is_zip(path) and any(module in head for module in NVLABS):
        return (
            "is a pickle of NVIDIA's StyleGAN code (NVlabs), which would run code stored in it; convert it"
            " first to rosinality's format, `torch.save({'g_ema': state_dict}, …)`"
        )
    if isinstance(error, NotPlain):
        return f"holds {error}; refused: a checkpoint holds tensors and plain values"
    if isinstance(error, pickle.UnpicklingError) and (refused := _refused(path)):
        return f"wants to run {refused[:100]}; refused: a checkpoint holds tensors and plain values"
    return "is no PyTorch checkpoint, or not the whole of one; fetch or copy it again"


def _refused(path: Path) -> str | None:
    """The first function by its name that the file wants to run and may not; None where there is none."""
    try:
        return next(iter(torch.serialization.get_unsafe_globals_in_checkpoint(path)), None)
    except Exception:  # it reads ZIP files only; before those, PyTorch wrote one bare pickle after the other
        named = _named(path)
    return next((name for name in named if name.partition(".")[0] not in PLAIN_MODULES), None)


def _named(path: Path) -> list[str]:
    """The functions and classes that bare pickles name, up to where they end or make no sense."""
    names: list[str] = []
    with path.open("rb") as file, contextlib.suppress(Exception):  # a malformed file can raise anything
        while True:
            names += [
                str(argument).replace(" ", ".")
                for opcode, argument, _ in pickletools.genops(file)
                if opcode.name == "GLOBAL"
            ]
    return names


def optional_dict(path: Path, content: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """`content[key]`, None if it is missing or empty; `BadInput` if it is no dictionary."""
    value = content.get(key)
    if value is not None and not isinstance(value, dict):
        raise BadInput(f"{path}: '{key}' is not a dict but {type(value).__name__}")
    return value or None


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Save `content` as a PyTorch file; a reader sees the old file or the new one, never a part."""
    file = io.BytesIO()
    torch.save(dict(content), file)
    write_atomically(path, file.getvalue())
