"""ONNX Runtime sessions of a bundle's graphs, for any execution provider."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingergen import cpp_ops

from ...bundle import Bundle
from ...bundle.manifest import GraphName
from ...errors import BadInput, FingerGenError
from ..graphs import PIXELS, input_shapes

if TYPE_CHECKING:
    from .library import onnxruntime

Providers = Sequence[str | tuple[str, dict[str, str]]]
CPU_PROVIDER = "CPUExecutionProvider"


class Sessions:
    """The sessions of `files`, each opened when it is first used. May be used from many threads.

    `providers`: of a graph, the preferred one first. `ops`: library of our custom operators, None to run
    their functions. `configure`: may change the options of each session.
    """

    def __init__(
        self,
        bundle: Bundle,
        files: Mapping[GraphName, str],
        providers: Callable[[GraphName], Providers],
        ops: Path | None,
        configure: Callable[[onnxruntime.SessionOptions], object] = lambda options: None,
    ) -> None:
        self._bundle = bundle
        self._files = files
        self._providers = providers
        self._ops = ops
        self._configure = configure
        self._sessions: dict[GraphName, onnxruntime.InferenceSession] = {}
        self._loading = threading.Lock()

    def __getitem__(self, graph: GraphName) -> onnxruntime.InferenceSession:
        with self._loading:
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    def loaded(self, graph: GraphName) -> bool:
        """Whether a graph's session has been opened."""
        return graph in self._sessions

    def makes_pixels(self, graph: GraphName) -> bool:
        """Whether a graph has the output `PIXELS`."""
        return PIXELS in self._bundle.outputs[self._files[graph]]

    def close(self) -> None:
        """Free all sessions and the memory of the device that they hold."""
        self._sessions.clear()

    def failure(self, graph: GraphName, error: Exception) -> FingerGenError:
        """What to raise for an error of a run."""
        return FingerGenError(f"{self._bundle.path}: {graph} graph: {error}")

    def _load(self, graph: GraphName) -> onnxruntime.InferenceSession:
        from .library import onnxruntime

        path = self._bundle.file(self._files[graph])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # an error is raised, and shown, once
        providers = self._providers(graph)
        # Memory planned from the sizes of the first run would come on top of what that run took.
        options.enable_mem_pattern = providers[0] != CPU_PROVIDER
        if providers[0] == CPU_PROVIDER:  # a level's part of the image while its feature maps are in a cache
            options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        # It merges equal constants, which takes a quarter of loading and makes no run faster.
        options.add_session_config_entry("optimization.disable_specified_optimizers", "ConstantSharing")
        if self._ops:
            if providers[0] != CPU_PROVIDER:  # read by our library: kernels for the CPU alone stay out
                options.add_session_config_entry("fingergen.whole_layers", "0")
            try:
                options.register_custom_ops_library(str(self._ops))
            except Exception as error:
                raise FingerGenError(
                    f"{self._ops}: ONNX Runtime {onnxruntime.__version__} cannot load this custom-op library;"
                    f" install FingerGen again, or delete the file to run without it: {error}"
                ) from None
        self._configure(options)
        content = self._bundle.read(self._files[graph])
        try:
            session = open_session(content, options, providers)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise BadInput(f"{path}: ONNX Runtime cannot load this graph: {error}") from None
        first = providers[0] if isinstance(providers[0], str) else providers[0][0]
        if first not in session.get_providers():  # it falls back without raising
            raise FingerGenError(f"{path}: ONNX Runtime could not use its {first}")
        session.disable_fallback()
        session._model_bytes = None  # the file, which only a fallback would read again
        expected = set(input_shapes(self._bundle.manifest, graph))
        found = {node.name for node in session.get_inputs()}
        if found != expected:
            raise BadInput(f"{path}: inputs {sorted(found)}; a {graph} graph has {sorted(expected)}")
        return session


def open_session(
    content: bytes, options: onnxruntime.SessionOptions, providers: Providers
) -> onnxruntime.InferenceSession:
    """A session of a graph, given as its file's content."""
    from .library import onnxruntime

    session = onnxruntime.InferenceSession(content, options, providers=providers)
    _all_sessions.add(session)
    return session


_all_sessions: weakref.WeakSet[onnxruntime.InferenceSession] = weakref.WeakSet()


def _keep_sessions() -> None:
    """Never free the sessions: for a forked process, where freeing one waits for threads that stayed behind,
    even when the process ends."""
    for session in list(_all_sessions):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_sessions)


def use_threads(options: onnxruntime.SessionOptions, threads: int) -> None:
    """Have a session compute with so many threads, the caller's among them.

    Between operators they wait for a short time before they sleep, since to wake them takes as long as a
    small layer does. Were it longer, they would take cores from whatever else runs here.
    """
    from .library import onnxruntime

    release = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    options.intra_op_num_threads = threads
    # Before 1.26 that time could not be set, and was milliseconds.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(release >= (1, 26))))
    options.add_session_config_entry("session.intra_op.spin_duration_us", "50")


def output_name(session: onnxruntime.InferenceSession, pixels: bool) -> str:
    """The name of `PIXELS`, or of a graph's other output."""
    return next(node.name for node in session.get_outputs() if (node.name == PIXELS) == pixels)


def ops_library() -> Path | None:
    """Our compiled custom ops; None where they were not built, and the graphs' own functions run."""
    return cpp_ops.status("onnxruntime").path


def cuda_ops_library() -> Path | None:
    """Our compiled custom ops, if they have CUDA kernels; else functions are faster than going to the CPU."""
    status = cpp_ops.status("onnxruntime")
    return status.path if status.cuda else None


def describe_ops(library: Path | None) -> str:
    """For people: what runs our custom operators."""
    return "compiled custom ops" if library else "custom ops as functions of standard ops"
