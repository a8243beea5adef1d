"""A graph to an engine and its entry in the manifest."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import onnx

from fingergen.runtime.backends import Precision
from fingergen.runtime.bundle.manifest import Engine, GraphName
from fingergen.runtime.errors import FingerGenError

from ..onnx_graphs.ops import DOMAIN, OPS, PLUGIN_OPS, Build, Ops
from .process import run_worker
from .target import Target

Form = Literal["plugin", "native"]
FORMS: Mapping[Form, Ops] = {"plugin": PLUGIN_OPS, "native": OPS["native"]}


def build_engine(
    graph: GraphName, build: Build, precision: Precision, target: Target
) -> tuple[Engine, bytes]:
    """Build the engine of a graph.

    Args:
        graph: Which of the bundle's.
        build: Makes the graph, with the operators and in the precision that it is called with.
        precision: `fp32` or `fp16`.
        target: What it is built for, as `resolve` gives it.

    Returns:
        Its entry in the manifest, and the content of its file.

    Raises:
        FingerGenError: It cannot be built; the message has TensorRT's reason.
    """
    asked = target.options.ops
    if asked != "auto":
        return _build(graph, build(FORMS[asked], precision), precision, target, "asked")
    models = [build(FORMS["native"], precision)]
    if target.measures and target.plugins:
        plugin = build(FORMS["plugin"], precision)
        models += [plugin] * bool(custom_nodes(plugin))
    chosen = "measured" if len(models) == 2 else "default"
    built = [_build(graph, model, precision, target, chosen) for model in models]
    return min(built, key=lambda each: each[0].report["batch_seconds"] or math.inf)


def _build(
    graph: GraphName, model: onnx.ModelProto, precision: Precision, target: Target, chosen: str
) -> tuple[Engine, bytes]:
    options = target.options
    custom = custom_nodes(model)
    embed = options.embed_plugins and bool(custom)
    with tempfile.TemporaryDirectory(prefix="fingergen-engine-") as folder:
        onnx_file, engine_file = Path(folder) / "model.onnx", Path(folder) / "engine"
        onnx_file.write_bytes(model.SerializeToString())
        request = {
            "command": "build",
            "model": str(onnx_file),
            "engine": str(engine_file),
            "profile": _profile(model, options.batch),
            "architectures": () if target.flavor.target_by_gpu else target.architectures,
            "plugins": str(target.plugins) if custom else None,
            "embed": embed,
            "timing_cache": str(target.timing_cache) if target.timing_cache else None,
            "measure": target.measures,
        }
        result = run_worker(target.flavor, request, graph)
        content = engine_file.read_bytes()
    engine = Engine(
        file=f"engines/{graph}.{precision}.{target.flavor.name}.engine",
        graph=graph,
        flavour=target.flavor.name,
        version=target.version,
        gpu_architectures=target.architectures,
        precision=precision,
        batch=options.batch,
        ops="plugin" if custom else "native",
        plugins_embedded=embed,
        report=_report(graph, custom, result) | {"ops_chosen": chosen, "engine_bytes": len(content)},
    )
    return engine, content


def custom_nodes(model: onnx.ModelProto) -> dict[str, str]:
    """Name → op of the nodes that plugins can run."""
    return {node.name: node.op_type for node in model.graph.node if node.domain == DOMAIN}


def _profile(model: onnx.ModelProto, batch: tuple[int, int, int]) -> dict[str, list[list[int]]]:
    """Smallest, best and largest shape of every input. Noise is best shared by the batch: mode `const`."""
    smallest, best, largest = batch
    sizes = {"batch": (smallest, best, largest), "noise_batch": (1, 1, largest)}
    profile = {}
    for info in model.graph.input:
        first, *rest = info.type.tensor_type.shape.dim
        profile[info.name] = [[size, *(dim.dim_value for dim in rest)] for size in sizes[first.dim_param]]
    return profile


def _report(graph: str, custom: Mapping[str, str], result: Mapping[str, Any]) -> dict[str, Any]:
    """The build report. `FingerGenError` if a custom node did not become a plugin in the engine."""
    layers: list[tuple[str, str]] | None = result["engine_layers"]
    plugins: Counter[str] = Counter()
    for name, op in custom.items():
        in_network = name in result["plugin_layers"]
        # an engine's layer has the node's name and a suffix
        if in_network and (layers is None or any(layer.startswith(name) for layer, _ in layers)):
            plugins[op] += 1
    if plugins.total() != len(custom):
        raise FingerGenError(
            f"{graph}: {plugins.total()} of {len(custom)} custom nodes became plugins; use --ops native"
        )
    return {
        "build_seconds": round(result["seconds"], 2),
        "network_layers": result["network_layers"],
        "engine_layers": None if layers is None else len(layers),
        "layer_types": dict(Counter(kind for _, kind in layers or ()).most_common()),
        "plugins": dict(plugins),
        "activation_bytes": result["activation_bytes"],
        "batch_seconds": result["batch_seconds"],
    }
