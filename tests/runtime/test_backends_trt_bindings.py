"""What the simulated TensorRT and pycuda have is what the real ones have."""

import importlib.util

import pytest

from fingergen.runtime.backends.trt.flavors import FLAVORS

from . import simulated_gpu

SIMULATED = ("Runtime", "ICudaEngine", "IRuntimeConfig", "IRuntimeCache", "IExecutionContext")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_bindings_have_what_is_simulated(flavor: str):
    """The backend runs on the simulation, so it uses nothing else of TensorRT."""
    module = FLAVORS[flavor].module
    if module is None:
        pytest.skip(f"{FLAVORS[flavor].title} is not installed")
    trt = importlib.import_module(module)
    for name in SIMULATED:
        simulated, real = getattr(simulated_gpu, name), getattr(trt, name, None)
        if real is None and name in ("IRuntimeConfig", "IRuntimeCache"):
            continue  # of TensorRT-RTX and, the first, recent TensorRT
        used = {key for key in vars(simulated) if not key.startswith("_")} - {"strategy"}
        if name == "ICudaEngine":
            used |= {"num_io_tensors", "num_optimization_profiles"}
        assert used and {key for key in used if not hasattr(real, key)} == set()
        for key in used:  # parameters by name, from the docstrings that pybind11 writes
            method = getattr(simulated, key, None)
            if callable(method):
                names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
                assert all(f"{each}: " in getattr(real, key).__doc__ for each in names), (name, key)
    for enum in ("DataType", "TensorIOMode", "ExecutionContextAllocationStrategy", "CudaGraphStrategy"):
        if enum == "CudaGraphStrategy" and flavor == "tensorrt":
            continue
        members = getattr(simulated_gpu.TensorRt, enum).__members__
        assert all(hasattr(getattr(trt, enum), member) for member in members)
    assert hasattr(trt.ILogger.Severity, "INTERNAL_ERROR") and hasattr(trt, "get_plugin_registry")
    assert hasattr(trt.Runtime, "engine_host_code_allowed")


def test_pycuda_has_what_is_simulated():
    try:
        import pycuda.driver as cuda
    except ImportError as error:
        pytest.skip(f"PyCUDA cannot be imported: {error}")
    for name in ("mem_alloc", "pagelocked_empty", "memcpy_htod_async", "memcpy_dtoh_async", "init"):
        assert callable(getattr(cuda, name))
    for owner, names in {
        cuda.Stream: ("handle", "synchronize", "wait_for_event"),
        cuda.Event: ("record", "synchronize"),
        cuda.Context: ("push", "pop", "detach"),
        cuda.Device: ("retain_primary_context",),
        cuda.DeviceAllocation: ("free", "__int__"),
        cuda.event_flags: ("DISABLE_TIMING", "BLOCKING_SYNC"),
    }.items():
        assert all(hasattr(owner, name) for name in names), owner
    assert issubclass(cuda.MemoryError, cuda.Error)
