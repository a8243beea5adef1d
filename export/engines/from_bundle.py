"""Engines for a bundle that is there already: no checkpoint is needed, and no PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from fingergen.runtime.backends import Precision
from fingergen.runtime.bundle import read_bundle, write_bundle
from fingergen.runtime.bundle.manifest import GraphName, Manifest
from fingergen.runtime.errors import BadInput

from ..onnx_graphs.lowering import plugin_form, standard_form
from ..onnx_graphs.ops import OPS, Build, Ops
from .builder import build_engine, custom_nodes
from .target import EngineOptions, resolve


def add_engines(
    bundle: Path,
    out: Path,
    options: EngineOptions,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Write a bundle again, with engines of all its graphs.

    Args:
        bundle: Its directory.
        out: Where to write it; may be `bundle` itself, with `overwrite`.
        options: What engines to build; they replace earlier ones of the same flavor and precision.
        overwrite: Whether a bundle at `out` may be replaced.
        progress: Called with one line before each engine.

    Returns:
        The new bundle's manifest.

    Raises:
        BadInput: The bundle has no graphs in the precision, or engines cannot be built here.
        FingerGenError: TensorRT refuses a graph.
    """
    target = resolve(options)
    source = read_bundle(bundle)
    manifest = source.manifest
    graphs: dict[GraphName, str | None] = manifest.graphs._asdict()  # type: ignore[assignment]
    engines = {engine.file: engine for engine in manifest.engines}
    contents = {file: source.read(file) for file in manifest.files}
    in_half = manifest.precisions.get("fp16", {})
    if options.precision == "fp16" and not in_half:
        raise BadInput(f"{bundle}: has no fp16 graphs; export it with --precision fp16, or use --engine fp32")
    if options.ops == "plugin" and not custom_nodes(
        onnx.load_from_string(contents[manifest.graphs.synthesis])
    ):
        raise BadInput(f"{bundle}: its graphs have standard operators only; export it without --ops native")
    for name, file in graphs.items():
        if file is None:
            continue
        half = options.precision == "fp16" and name in in_half
        precision: Precision = "fp16" if half else "fp32"
        progress(f"building the {name} engine, {precision}, {target.description}")
        build = _reader(contents[in_half[name] if half else file])
        engine, content = build_engine(name, build, precision, target)
        engines[engine.file], contents[engine.file] = engine, content
    manifest = manifest._replace(engines=tuple(engines.values()))
    return write_bundle(out, manifest, contents, overwrite)


def _reader(graph: bytes) -> Build:
    def build(ops: Ops, precision: Precision) -> onnx.ModelProto:
        model = onnx.load_from_string(graph)
        return standard_form(model) if ops is OPS["native"] else plugin_form(model)

    return build
