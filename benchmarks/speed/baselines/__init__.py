"""Other software for the same workload, timed beside FingerGen in the same rounds: one class per baseline."""

from .ncnn import Ncnn
from .onnxruntime_plain import OnnxRuntimePlain
from .openvino import OpenVino
from .pytorch import PyTorch, PyTorchCompiled, PyTorchCuda

BASELINES = {
    baseline.name: baseline
    for baseline in (OnnxRuntimePlain(), OpenVino(), Ncnn(), PyTorch(), PyTorchCompiled(), PyTorchCuda())
}
"""Name → baseline, an `executors.Executor`."""

__all__ = ["BASELINES", "Ncnn", "OnnxRuntimePlain", "OpenVino", "PyTorch", "PyTorchCompiled", "PyTorchCuda"]
