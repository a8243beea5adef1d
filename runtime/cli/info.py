"""`fg-run info`: what a bundle holds and what can run it here."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from fingergen import cpp_ops

from ..backends import BACKENDS, unavailable, usable_cores
from ..bundle import Bundle, open_bundle
from ..errors import say
from .kit import FOLDER

PACKAGES = ("fingergen", "numpy", "pillow", "onnxruntime")


@click.command()
@click.option("--bundle", type=FOLDER, help="Bundle directory.  [default: the packaged demo bundle]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(bundle: Path | None, as_json: bool) -> None:
    """Verify a bundle and show what it holds, which backends can run it here and what others need.

    \b
    Examples:
      fg-run info
      fg-run info --bundle finger --json
    """
    opened = open_bundle(bundle)
    content = {
        "bundle": _bundle(opened),
        "backends": {name: unavailable(name, opened) or "available" for name in BACKENDS},
        "custom_ops": {name: _library(name) for name in (*cpp_ops.LIBRARIES, cpp_ops.C_API)},
        "machine": {"python": platform.python_version(), "cores": usable_cores()} | _versions(),
    }
    if as_json:
        click.echo(json.dumps(content, indent=2))
        return
    for title, section in content.items():
        click.echo(click.style(title, bold=True))
        _print(section)


def _bundle(bundle: Bundle) -> dict[str, Any]:
    """The manifest as it is, with where the bundle lies and what its files weigh in all."""
    manifest = bundle.manifest.to_json()
    size = sum(record.bytes for record in bundle.manifest.files.values())
    return {
        "path": str(bundle.path),
        "sha256": bundle.sha256,
        "verified": f"{len(bundle.manifest.files)} files, {size / 1e6:.1f} MB, all hashes right",
        "sefa_directions": len(bundle.latents.sefa_directions),
        **manifest,
    }


def _library(name: str) -> str:
    status = cpp_ops.status(name)
    if status.path is None:
        return f"not built: {status.reason}; {status.fix}"
    return f"{status.path}" + (f" (CPU only: {status.reason}; {status.fix})" if status.reason else "")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _print(value: Any, indent: str = "  ") -> None:
    """Nested dicts, one line per leaf; texts of the bundle may hold anything."""
    for key, each in value.items():
        if isinstance(each, dict) and each:
            leaves = all(not isinstance(leaf, (dict, list)) for leaf in each.values())
            if leaves:
                leaf_texts = ", ".join(f"{k} {v}" for k, v in each.items())
                say(f"{indent}{key}: {leaf_texts}")
            else:
                say(f"{indent}{key}:")
                _print(each, indent + "  ")
        else:
            say(f"{indent}{key}: {each}")
