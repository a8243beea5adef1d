"""OpenVINO on the CPU.

It knows no functions of a model, so bundles need graphs of standard operators (`fg-export --ops native`).
Images are computed one by one, with all threads inside an image: so its bits do not depend on its batch.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..bundle.graph_files import has_functions
from ..bundle.manifest import GraphName
from ..errors import BadInput, FingerGenError
from .base import Backend, Options
from .graphs import PIXELS, Inputs, batch_size, graph_files, input_shapes, part

if TYPE_CHECKING:
    import openvino  # type: ignore[import-not-found]


def import_openvino() -> Any:
    """The package openvino, without its telemetry.

    Importing it would write files into the user's home and report to Intel's collector. Where the package
    openvino_telemetry cannot be imported, it does neither.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # imports of it then fail
    import openvino

    return openvino


class OpenVino(Backend):
    """OpenVINO's CPU device, in float32."""

    name = "openvino"

    @classmethod
    def unavailable(cls, bundle: Bundle, options: Options) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "the package openvino is not installed: pip install 'fingergen[openvino]'"
        if options.precision not in (None, "fp32"):
            return "computes in fp32 only"
        files = graph_files(bundle.manifest, "fp32")
        if any(has_functions(bundle.read(file)) for file in set(files.values())):
            return "the bundle has custom nodes, which OpenVINO does not know: fg-export --ops native"
        return None

    @classmethod
    def open(cls, bundle: Bundle, options: Options) -> Self:
        return cls(bundle, options)

    def __init__(self, bundle: Bundle, options: Options) -> None:
        package = import_openvino()
        super().__init__(bundle)
        self._core = package.Core()
        self._settings = {
            "INFERENCE_NUM_THREADS": options.workers,
            "INFERENCE_PRECISION_HINT": "f32",  # not what the processor does fastest, such as bfloat16
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._files = graph_files(bundle.manifest, "fp32")
        self._requests: dict[GraphName, openvino.InferRequest] = {}
        self._one_at_a_time = threading.Lock()
        self.batch = 1
        version, _, _ = package.__version__.partition("-")
        threads = f"{options.workers} thread{'s' if options.workers > 1 else ''}"
        self.description = f"OpenVINO {version}, CPU, {threads}, fp32"

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        with self._one_at_a_time:
            if graph not in self._requests:
                self._requests[graph] = self._load(graph)
            request = self._requests[graph]
            images = [self._image(graph, request, part(inputs, i, 1)) for i in range(batch_size(inputs))]
        return np.concatenate(images)

    def _image(self, graph: GraphName, request: openvino.InferRequest, inputs: Inputs) -> NDArray[Any]:
        try:
            results = request.infer(dict(inputs))
        except RuntimeError as error:
            raise FingerGenError(f"{self._bundle.path}: {graph} graph: {error}") from None
        image = next(value for output, value in results.items() if PIXELS not in output.get_names())
        return np.array(image)  # a copy: the request's own array is written over by its next call

    def _load(self, graph: GraphName) -> openvino.InferRequest:
        file = self._files[graph]
        path = self._bundle.file(file)
        try:
            model = self._core.read_model(self._bundle.read(file))
            # Of one image: sizes that are known when it is compiled make it faster.
            model.reshape(
                {name: [1, *shape] for name, shape in input_shapes(self._bundle.manifest, graph).items()}
            )
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise BadInput(f"{path}: OpenVINO cannot load this graph: {reason}") from None

    def release(self) -> None:
        with self._one_at_a_time:
            self._requests.clear()
