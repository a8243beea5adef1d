"""Which of a bundle's engines can run here, and why the others cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from fingergen import cpp_ops

from ...bundle.manifest import Engine, GraphName, Manifest
from ...errors import BadInput
from ..base import Precision
from ..graphs import graph_names
from .flavors import FLAVORS

FASTEST_FIRST = ("fp16", "bf16", "fp32")
TRUST_VARIABLE = "FINGERGEN_TRUST_ENGINE_CODE"


class Unusable(BadInput):
    """No set of engines can run here; the message gives the reason and the fix."""


class Here(NamedTuple):
    """What engines are held against. `versions`: of the flavors that are installed, by name."""

    versions: Mapping[str, str]
    architecture: str
    plugins: cpp_ops.LibraryStatus
    trusts_engine_code: bool = False

    @staticmethod
    def look(manifest: Manifest, architecture: str) -> Here:
        """This machine; only the flavors that the bundle has engines of are imported."""
        named = {engine.flavour for engine in manifest.engines}
        found = {flavor.name: flavor.version() for flavor in FLAVORS.values() if flavor.name in named}
        return Here(
            {name: version for name, version in found.items() if version},
            architecture,
            cpp_ops.status("tensorrt"),
            os.environ.get(TRUST_VARIABLE) == "1",
        )


def choose_engines(
    manifest: Manifest, here: Here, precision: Precision | None = None
) -> dict[GraphName, Engine]:
    """An engine for every graph of the bundle, all of one flavor, the fastest precision first.

    With `precision`, none is faster; `fp16` takes float32 for graphs that have nothing else, but not for all.
    `Unusable` where an engine is missing.
    """
    if precision and all(engine.precision != precision for engine in manifest.engines):
        raise Unusable(f"the bundle has no {precision} engine: fg-export --engine {precision}")
    reasons: dict[str, str] = {}
    for flavor in FLAVORS:
        try:
            return {
                graph: _choose(manifest, flavor, graph, here, precision) for graph in graph_names(manifest)
            }
        except Unusable as error:
            reasons[flavor] = str(error)
    # What is wrong with a flavor that the bundle has engines of says more than that it has none of another.
    named = [flavor for flavor in FLAVORS if any(each.flavour == flavor for each in manifest.engines)]
    installed = [flavor for flavor in named if flavor in here.versions]
    raise Unusable(next((reasons[flavor] for flavor in (*installed, *named)), "; ".join(reasons.values())))


def _choose(
    manifest: Manifest, flavor: str, graph: GraphName, here: Here, precision: Precision | None
) -> Engine:
    allowed = FASTEST_FIRST[FASTEST_FIRST.index(precision or "fp16") :]
    engines = [
        engine
        for name in allowed
        for engine in manifest.engines
        if (engine.graph, engine.flavour, engine.precision) == (graph, flavor, name)
    ]
    if not engines:
        raise Unusable(
            f"the bundle has no {FLAVORS[flavor].title} engine of its {graph} graph: export it again"
        )
    problems = [problem(engine, here) for engine in engines]
    for engine, found in zip(engines, problems, strict=True):
        if found is None:
            return engine
    raise Unusable(f"{engines[0].file}: {problems[0]}")


def problem(engine: Engine, here: Here) -> str | None:
    """Why an engine cannot run here, and the fix; None where it can."""
    flavor = FLAVORS[engine.flavour]
    built_by = f"built by {flavor.title} {engine.version}, which alone can run it"
    fix = f"{flavor.install}=={engine.version}, or export again here"
    version = here.versions.get(flavor.name)
    if version is None:
        return f"{built_by} and is not installed: {fix}"
    if version != engine.version:
        return f"{built_by}; {version} is installed: {fix}"
    if here.architecture not in engine.gpu_architectures:
        architectures = ", ".join(engine.gpu_architectures)
        return f"built for {architectures}; this GPU is {here.architecture}: export again with --gpu"
    if engine.plugins_embedded and not here.trusts_engine_code:
        return f"holds a plugin library, which is code that would run: set {TRUST_VARIABLE}=1 if you trust it"
    if engine.ops == "plugin" and not engine.plugins_embedded and not here.plugins.cuda:
        return f"needs our TensorRT plugins with CUDA: {here.plugins.reason}; {here.plugins.fix}"
    return None
