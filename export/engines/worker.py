"""Builds one engine in a process of its own; `process` starts it and says why.

Imports nothing but the standard library and TensorRT, so that it starts quickly. A request comes as JSON on
standard input, the result goes as JSON to the file that the request names.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

# In TensorRT's log: the list of the engine's layers, and what a batch of the largest size needs.
LAYER = re.compile(r"^Name: (.*?), LayerType: (\w+)", re.MULTILINE)
ACTIVATIONS = re.compile(r"Total Activation Memory: (\d+) bytes")
WARM_UP, ROUNDS = 5, 30


class Failure(Exception):
    """The build failed for a reason that TensorRT gave."""


def main() -> None:
    """Read a request from standard input, carry it out and write the result to the file that it names."""
    request = json.load(sys.stdin)
    try:
        trt = import_module(request["module"])
        result = COMMANDS[request["command"]](trt, request)
    except (Failure, ImportError) as error:
        result = {"error": str(error)}
    Path(request["result"]).write_text(json.dumps(result), encoding="utf-8")


def probe(trt: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Version, and the architectures that engines can be built for (none: that of this machine's GPU)."""
    members = getattr(trt, "ComputeCapability", None)
    names = [name for name in members.__members__ if re.fullmatch(r"SM\d+", name)] if members else []
    return {"version": trt.__version__, "architectures": [f"sm_{name[2:]}" for name in names]}


def build(trt: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Build the ONNX file `model` into the file `engine`; see `builder.build` for what a request has."""
    return _build(trt, request, _logger(trt))


def attempt(trt: Any, request: dict[str, Any]) -> dict[str, Any]:
    """As `build`, and load the engine: what TensorRT says against it, in its own words; empty: nothing."""
    log = _logger(trt)
    try:
        _build(trt, request, log)
        if trt.Runtime(log).deserialize_cuda_engine(Path(request["engine"]).read_bytes()) is None:
            raise Failure("the engine was built and could not be loaded")
    except (Failure, TypeError) as error:  # TypeError: bindings make that of a null pointer
        return {"said": "; ".join(dict.fromkeys(log.errors)) or str(error)}
    return {"said": ""}


def _build(trt: Any, request: dict[str, Any], log: Any) -> dict[str, Any]:
    try:
        builder = trt.Builder(log)
    except TypeError:  # what the bindings make of a builder that could not be created
        raise Failure(log.reason("the builder could not be created")) from None
    if request["plugins"] and builder.get_plugin_registry().load_library(request["plugins"]) is None:
        raise Failure(log.reason(f"{request['plugins']}: no plugin library"))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(request["model"]):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        reasons = [f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in errors]
        raise Failure("; ".join(reasons) or log.reason("the parser refused the graph"))
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    plugin_layers = [layer.name for layer in layers if layer.type == trt.LayerType.PLUGIN_V3]
    config = _config(trt, builder, request)
    start = time.perf_counter()
    engine = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - start
    if engine is None:
        raise Failure(log.reason("the build failed"))
    Path(request["engine"]).write_bytes(memoryview(engine))
    if request["timing_cache"]:
        with contextlib.suppress(OSError):  # the engine is built, with or without a cache for the next
            _replace(Path(request["timing_cache"]), memoryview(config.get_timing_cache().serialize()))
    return {
        "seconds": seconds,
        "network_layers": len(layers),
        "plugin_layers": plugin_layers,
        "engine_layers": log.layers,
        "activation_bytes": log.activation_bytes,
        "batch_seconds": _batch_seconds(trt, log, engine) if request["measure"] else None,
    }


COMMANDS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "probe": probe,
    "build": build,
    "attempt": attempt,
}


def _config(trt: Any, builder: Any, request: dict[str, Any]) -> Any:
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # what the graph has in float32 is to be computed in float32
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else the log does not list the layers
    profile = builder.create_optimization_profile()
    for name, shapes in request["profile"].items():
        profile.set_shape(name, *shapes)
    config.add_optimization_profile(profile)
    if request["architectures"]:
        config.num_compute_capabilities = len(request["architectures"])
        for i, architecture in enumerate(request["architectures"]):
            name = architecture.replace("sm_", "SM")  # or CURRENT
            capability = getattr(trt.ComputeCapability, name)
            config.set_compute_capability(capability, i)
    if request["embed"]:
        config.plugins_to_serialize = [request["plugins"]]
    if request["timing_cache"]:
        stored = Path(request["timing_cache"])
        cache = config.create_timing_cache(stored.read_bytes() if stored.is_file() else b"")
        if not config.set_timing_cache(cache, ignore_mismatch=False):  # of another GPU or version
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return config


def _logger(trt: Any) -> Any:
    """A logger that keeps errors and, from the verbose messages, what the report needs."""
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []
            self.layers: list[tuple[str, str]] | None = None
            self.activation_bytes: int | None = None

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self.errors.append(message)
            elif message.startswith("Layers:"):
                self.layers = LAYER.findall(message)
            elif found := ACTIVATIONS.search(message):
                self.activation_bytes = int(found[1])

        def reason(self, otherwise: str) -> str:
            return self.errors[0] if self.errors else otherwise

    return Logger()


def _batch_seconds(trt: Any, log: Any, plan: Any) -> float | None:
    """Median time of a batch of the profile's best size on this machine's GPU; None: not to be measured."""
    try:
        import pycuda.autoinit  # noqa: F401  # makes the context
        import pycuda.driver as cuda
    except Exception:  # not installed, or no device: PyCUDA's errors have no common base class
        return None
    runtime = trt.Runtime(log)
    runtime.engine_host_code_allowed = True  # an engine of ours, in which plugins may be embedded
    engine = runtime.deserialize_cuda_engine(plan)
    context = engine.create_execution_context() if engine else None
    if context is None:
        return None
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    for name in names:
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            context.set_input_shape(name, engine.get_tensor_profile_shape(name, 0)[1])
    memory = []  # kept until the end
    for name in names:
        size = trt.volume(context.get_tensor_shape(name)) * engine.get_tensor_dtype(name).itemsize
        memory.append(cuda.mem_alloc(size))
        cuda.memset_d8(memory[-1], 0, size)
        context.set_tensor_address(name, int(memory[-1]))
    stream = cuda.Stream()
    times = []
    for i in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        if not context.execute_async_v3(stream.handle):
            return None
        stream.synchronize()
        if i >= WARM_UP:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def _replace(path: Path, content: memoryview) -> None:
    """Write a file that is whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


if __name__ == "__main__":
    main()
