"""The TensorRT backend on a simulated GPU, its choice of engines, and the APIs that it uses."""

import dataclasses
import importlib.util
import logging
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fingergen.cpp_ops import LibraryStatus
from fingergen.runtime import load
from fingergen.runtime.backends import nvidia, unavailable
from fingergen.runtime.backends.base import Options
from fingergen.runtime.backends.trt import backend as backend_module
from fingergen.runtime.backends.trt import engine as engine_module
from fingergen.runtime.backends.trt.backend import TensorRt
from fingergen.runtime.backends.trt.flavors import Flavor
from fingergen.runtime.backends.trt.select import Here, Unusable, choose_engines, problem
from fingergen.runtime.bundle import Bundle, open_bundle
from fingergen.runtime.bundle.manifest import Engine
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.runtime.images import to_levels
from fingergen.runtime.model import Model

from .. import tiny_bundle
from . import simulated_gpu

GRAPHS = ("mapping", "synthesis", "encoder", "decoder")
BUILT = LibraryStatus("tensorrt", Path("ops.so"), cuda=True, reason=None, fix=None)
HERE = Here({"tensorrt-rtx": "1.7.1"}, "sm_89", BUILT)


def engine(graph: str = "synthesis", **changes) -> Engine:
    plain = Engine(f"{graph}.onnx", graph, "tensorrt-rtx", "1.7.1", ("sm_86", "sm_89"), "fp16", (1, 8, 64))
    return plain._replace(**changes)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", own_decoder=True)


@pytest.fixture(scope="module")
def bundle(path: Path) -> Bundle:
    return open_bundle(path)


@pytest.fixture(scope="module")
def expected(path: Path):
    """z, w, random noise and the CPU's images of eleven fingers."""
    with load(path, "onnxruntime", workers=1) as cpu:
        z = cpu.z(range(11))
        w = cpu.styles(cpu.map(z))
        noise = cpu.noise_buffers("random", list(range(11)), 11)
        return types.SimpleNamespace(
            z=z,
            w=w,
            noise=noise,
            const=cpu.noise_buffers("const", None, 11),
            images=cpu.backend.synthesize(w, noise),
            const_images=cpu.backend.synthesize(w, cpu.noise_buffers("const", None, 11)),
            levels=cpu.backend.render(w, noise),
        )


@pytest.fixture
def simulate(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Open the backend on a simulated GPU; engines are the bundle's ONNX files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened = []

    def open_simulated(
        profiles=((1, 2, 4),), seed=0, device=0, **gpu
    ) -> tuple[TensorRt, simulated_gpu.TensorRt]:
        scratch = gpu.pop("scratch", 4096)
        cuda = simulated_gpu.Cuda(seed, **gpu)
        trt = simulated_gpu.TensorRt(cuda, list(profiles), scratch)
        package = types.ModuleType("pycuda")
        package.driver = cuda
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
        monkeypatch.setitem(sys.modules, "simulated_tensorrt", trt)
        monkeypatch.setattr(Flavor, "module", "simulated_tensorrt")
        monkeypatch.setattr(nvidia, "gpus", lambda: (nvidia.Gpu("simulated", "sm_89"),) * 2)
        backend = TensorRt(bundle, {graph: engine(graph) for graph in GRAPHS}, device)
        opened.append(backend)
        return backend, trt

    yield open_simulated
    for backend in opened:
        backend.close()


def close_to(found: np.ndarray, images: np.ndarray) -> bool:
    return found.shape == images.shape and bool(np.abs(found - images).max() < 1e-4 * np.abs(images).max())


class TestOnASimulatedGpu:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("profiles", [[(1, 2, 4)], [(3, 3, 3)], [(1, 1, 2), (4, 4, 5)]])
    def test_images_are_the_cpus(self, simulate, expected, profiles, seed: int):
        backend, _ = simulate(profiles, seed)
        for images in (11, 1, 4):
            noise = [buffer[:images] for buffer in expected.noise]
            assert close_to(backend.synthesize(expected.w[:images], noise), expected.images[:images])
        assert close_to(backend.synthesize(expected.w, expected.const), expected.const_images)

    @pytest.mark.parametrize("profiles", [[(1, 2, 4)], [(3, 3, 3)]])
    def test_pixels_come_from_the_gpu(self, simulate, expected, profiles):
        backend, trt = simulate(profiles)
        fetched: list[int] = []
        copy = trt.cuda.memcpy_dtoh_async
        trt.cuda.memcpy_dtoh_async = lambda dest, *rest: (fetched.append(dest.nbytes), copy(dest, *rest))
        # images that are mostly black are fetched as floats too, to see whether these are numbers
        usual = (expected.levels == 0).mean(axis=(1, 2, 3)) < 0.45
        levels = backend.render(expected.w[usual], [buffer[usual] for buffer in expected.noise])
        assert levels.dtype == np.uint8 and sum(fetched) == levels.nbytes and len(levels) > 5
        assert np.abs(levels.astype(int) - expected.levels[usual]).max() <= 1
        assert close_to(backend.synthesize(expected.w, expected.noise), expected.images)
        levels = backend.render(expected.w, expected.noise, decoder=True)
        decoded = to_levels(backend.decode(expected.w, expected.noise))
        assert np.abs(levels.astype(int) - decoded).max() <= 1

    def test_every_graph(self, simulate, path: Path, expected):
        backend, _ = simulate()
        maps = np.random.default_rng(0).random((5, 3, 32, 32), np.float32)
        with load(path, "onnxruntime", workers=1) as cpu:
            assert close_to(backend.map(expected.z), cpu.map(expected.z))
            assert close_to(backend.encode(maps).w, cpu.backend.encode(maps).w)
            decoded = cpu.backend.decode(expected.w, expected.const)
            assert close_to(backend.decode(expected.w, expected.const), decoded)

    def test_many_threads_share_engines(self, simulate, expected):
        backend, trt = simulate()
        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(lambda _: backend.synthesize(expected.w, expected.noise), range(18)))
        assert all(close_to(images, expected.images) for images in results)
        assert trt.engines_loaded == 1 and len(trt.contexts) == 4  # two executors, two slots each

    def test_memory_is_taken_once_and_given_back(self, simulate, expected):
        backend, trt = simulate()
        for _ in range(2):  # executors take turns
            backend.synthesize(expected.w, expected.noise)
        used = trt.cuda.used
        for _ in range(3):
            backend.synthesize(expected.w, expected.noise)
        assert 0 < used == trt.cuda.used
        backend.close()
        assert trt.cuda.used == 0 and trt.cuda.retained == 0 and trt.cuda.current.depth == 0
        backend.close()
        with pytest.raises(FingerGenError, match="closed"):
            backend.map(expected.z)

    def test_an_idle_executor_gives_its_memory_to_one_that_has_a_call(self, simulate, expected):
        """Two calls at once, then no memory left but what the idle executor keeps for its next call."""
        backend, trt = simulate([(1, 4, 4)])
        started = threading.Barrier(2)

        def call() -> np.ndarray:
            started.wait()
            return backend.synthesize(expected.w, expected.noise)

        with ThreadPoolExecutor(2) as pool:
            for pending in [pool.submit(call) for _ in range(2)]:
                assert close_to(pending.result(), expected.images)
        trt.cuda.capacity = trt.cuda.used
        trt.batches.clear()
        decoded = backend.decode(expected.w, expected.noise)  # another graph: memory of its own
        assert max(trt.batches) == 4 and np.isfinite(decoded).all()

    def test_calls_in_a_row_use_one_executor(self, simulate, expected):
        backend, trt = simulate()
        backend.synthesize(expected.w, expected.noise)
        used, contexts = trt.cuda.used, len(trt.contexts)
        for _ in range(3):
            assert close_to(backend.synthesize(expected.w, expected.noise), expected.images)
        assert trt.cuda.used == used and len(trt.contexts) == contexts

    def test_an_error_is_not_blamed_on_what_was_logged_before(self, simulate, expected):
        backend, trt = simulate()
        backend.synthesize(expected.w, expected.noise)
        backend._messages.logger.log(trt.ILogger.Severity.ERROR, "an old error, of something that went on")
        trt.failing = True
        with pytest.raises(FingerGenError, match="the kernel failed") as caught:
            backend.synthesize(expected.w, expected.noise)
        assert "old error" not in str(caught.value)

    def test_device(self, simulate, expected):
        backend, trt = simulate(device=1)
        assert close_to(backend.synthesize(expected.w, expected.noise), expected.images)
        assert trt.cuda.devices == [1]

    def test_device_that_was_asked_for(self, simulate, bundle: Bundle, monkeypatch):
        _, trt = simulate()
        monkeypatch.setattr(backend_module, "_choose", lambda *_: {graph: engine(graph) for graph in GRAPHS})
        TensorRt.open(bundle, Options(workers=1, device=1)).close()
        assert trt.cuda.devices == [0, 1]

    def test_plugin_library_that_is_refused(self, bundle: Bundle, simulate, monkeypatch, tmp_path: Path):
        _, trt = simulate()
        monkeypatch.setattr(engine_module.cpp_ops, "library", lambda name: tmp_path / "ops.so")
        monkeypatch.setattr(engine_module, "PLUGINS_LOADED", set())
        engines = {graph: engine(graph, ops="plugin") for graph in GRAPHS}
        for _ in range(2):  # a refusal is not remembered as a success
            with pytest.raises(FingerGenError, match=r"ops\.so: TensorRT cannot load .*: bad magic"):
                TensorRt(bundle, engines, 0)
        trt.takes_plugins = True
        TensorRt(bundle, engines, 0).close()
        assert trt.libraries == [str(tmp_path / "ops.so")]

    def test_image_that_is_not_finite(self, simulate, expected, monkeypatch):
        backend, trt = simulate()
        trt.poisoned = True
        for compute in (backend.synthesize, backend.render):
            with pytest.raises(FingerGenError, match=r"synthesis graph: its output .* not finite"):
                compute(expected.w, expected.noise)

    def test_out_of_memory_makes_batches_smaller(self, simulate, expected, caplog: pytest.LogCaptureFixture):
        backend, trt = simulate([(1, 8, 8)], capacity=2**20, scratch=2**18)
        with caplog.at_level(logging.WARNING):
            assert close_to(backend.synthesize(expected.w, expected.noise), expected.images)
        assert "tensorrt synthesis: no batch of 8 here; batches of 2 from now on" in caplog.text
        assert max(trt.batches) <= 4

    def test_out_of_memory_for_one_image(self, simulate, expected):
        backend, trt = simulate(capacity=2**16, scratch=2**20)
        with pytest.raises(FingerGenError, match="out of memory"):
            backend.synthesize(expected.w, expected.noise)
        assert trt.cuda.used == 0

    def test_failure_frees_memory_and_leaves_the_backend_usable(self, simulate, expected):
        backend, trt = simulate()
        trt.failing = True
        with pytest.raises(FingerGenError, match=r"synthesis\.onnx: a batch failed: the kernel failed"):
            backend.synthesize(expected.w, expected.noise)
        assert trt.cuda.used == 0
        trt.failing = False
        assert close_to(backend.synthesize(expected.w, expected.noise), expected.images)

    def test_engine_that_does_not_load(self, simulate, bundle: Bundle, expected, monkeypatch):
        backend, _ = simulate()
        monkeypatch.setattr(type(bundle), "read", lambda self, name: b"no engine")
        with pytest.raises(FingerGenError, match=r"mapping\.\w+: TensorRT cannot load this engine: Serial"):
            backend.map(expected.z)

    def test_engine_of_another_graph(self, simulate, bundle: Bundle, expected, monkeypatch):
        backend, _ = simulate()
        monkeypatch.setattr(
            type(bundle), "read", lambda self, name: (self.path / "mapping.onnx").read_bytes()
        )
        with pytest.raises(BadInput, match="not an engine of this graph"):
            backend.synthesize(expected.w, expected.noise)

    def test_what_was_compiled_is_kept_for_the_next_process(self, simulate, expected, tmp_path: Path):
        backend, trt = simulate()
        backend.synthesize(expected.w, expected.noise)
        assert sorted(trt.compiled) == [3, 4]
        backend.close()
        (stored,) = (tmp_path / "fingergen" / "jit").iterdir()
        assert stored.name.endswith("-simulated.cache") and stored.read_text() == "1.2.3 3 4"
        backend, trt = simulate()
        backend.synthesize(expected.w, expected.noise)
        assert trt.compiled == []
        backend.synthesize(expected.w[:2], expected.const)
        backend.close()
        assert stored.read_text() == "1.2.3 2 3 4"
        stored.write_text("0.9.9 2 3 4")  # of another version: made anew
        backend, trt = simulate()
        backend.synthesize(expected.w[:1], expected.const)
        backend.close()
        assert trt.compiled == [1] and stored.read_text() == "1.2.3 1"

    def test_a_cache_that_cannot_be_written_is_no_error(self, simulate, expected, tmp_path: Path):
        (tmp_path / "fingergen").write_text("a file where the folder should be")
        backend, trt = simulate()
        assert close_to(backend.synthesize(expected.w, expected.noise), expected.images)
        backend.close()
        assert trt.cuda.retained == 0

    def test_model(self, simulate, bundle: Bundle, path: Path):
        backend, _ = simulate()
        with load(path, "onnxruntime", workers=1) as cpu:
            images = cpu.synthesize(range(5), 0.7).astype(int)
        assert np.abs(Model(bundle, backend).synthesize(range(5), 0.7).astype(int) - images).max() <= 1
        assert backend.batch == 8 and "simulated (sm_89), fp16, batches up to 64" in backend.description


class TestProblem:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({}, None),
            (
                {"version": "1.6.0"},
                "built by TensorRT-RTX 1.6.0, which alone can run it; 1.7.1 is installed: pip",
            ),
            ({"flavour": "tensorrt", "version": "11.4"}, "is not installed: pip install tensorrt==11.4"),
            ({"gpu_architectures": ("sm_75",)}, "built for sm_75; this GPU is sm_89"),
            ({"ops": "plugin"}, None),
            ({"ops": "plugin", "plugins_embedded": True}, "set FINGERGEN_TRUST_ENGINE_CODE=1"),
        ],
    )
    def test_engine(self, changes: dict, message: str | None):
        found = problem(engine(**changes), HERE)
        assert found == message or (message is not None and message in str(found))

    def test_plugins(self):
        missing = LibraryStatus("tensorrt", None, False, "no nvcc was found", "install it")
        needs = problem(engine(ops="plugin"), HERE._replace(plugins=missing))
        assert needs == "needs our TensorRT plugins with CUDA: no nvcc was found; install it"
        trusting = HERE._replace(trusts_engine_code=True, plugins=missing)
        assert problem(engine(ops="plugin", plugins_embedded=True), trusting) is None


class TestChoice:
    def choose(self, bundle: Bundle, *engines: Engine, precision=None, here: Here = HERE):
        manifest = bundle.manifest._replace(engines=engines)
        return {graph: each.file for graph, each in choose_engines(manifest, here, precision).items()}

    def test_fastest_precision_of_one_flavor(self, bundle: Bundle):
        half = [engine(graph, file=f"{graph}.half") for graph in GRAPHS]
        full = [engine(graph, precision="fp32") for graph in GRAPHS]
        others = [engine(graph, flavour="tensorrt", version="11.4", file="x") for graph in GRAPHS]
        everything = [*others, *full, *half]
        assert self.choose(bundle, *everything) == {graph: f"{graph}.half" for graph in GRAPHS}
        wanted = {graph: f"{graph}.onnx" for graph in GRAPHS}
        assert self.choose(bundle, *everything, precision="fp32") == wanted

    def test_float32_where_there_is_no_other(self, bundle: Bundle):
        engines = [engine("mapping", precision="fp32"), *(engine(graph) for graph in GRAPHS[1:])]
        assert self.choose(bundle, *engines, precision="fp16")["mapping"] == "mapping.onnx"

    def test_several_for_several_architectures(self, bundle: Bundle):
        others = [engine(graph, gpu_architectures=("sm_120",), file="other") for graph in GRAPHS]
        mine = [engine(graph) for graph in GRAPHS]
        assert self.choose(bundle, *others, *mine) == {graph: f"{graph}.onnx" for graph in GRAPHS}

    @pytest.mark.parametrize(
        ("changes", "precision", "message"),
        [
            ({"version": "1.6.0"}, None, r"mapping\.onnx: built by TensorRT-RTX 1\.6\.0"),
            ({"gpu_architectures": ("sm_75",)}, None, "this GPU is sm_89"),
            ({"flavour": "tensorrt"}, None, r"mapping\.onnx: built by TensorRT 1\.7\.1.* not installed"),
            ({}, "fp32", "no fp32 engine: fg-export --engine fp32"),
        ],
    )
    def test_reason(self, bundle: Bundle, changes: dict, precision, message: str):
        with pytest.raises(Unusable, match=message):
            self.choose(bundle, *(engine(graph, **changes) for graph in GRAPHS), precision=precision)

    def test_a_graph_without_engine(self, bundle: Bundle):
        with pytest.raises(Unusable, match="no TensorRT-RTX engine of its encoder graph"):
            self.choose(bundle, engine("mapping"), engine("synthesis"))


class TestUnavailable:
    def test_bundle_without_engines(self, bundle: Bundle):
        assert unavailable("tensorrt", bundle) == "the bundle has no TensorRT engine: fg-export --engine fp16"

    def test_in_order(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
        manifest = bundle.manifest._replace(engines=tuple(map(engine, GRAPHS)))
        engined = dataclasses.replace(bundle, manifest=manifest)
        monkeypatch.setattr(nvidia, "gpus", lambda: "no NVIDIA driver: install it")
        assert unavailable("tensorrt", engined) == "no NVIDIA driver: install it"
        monkeypatch.setattr(nvidia, "gpus", lambda: (nvidia.Gpu("one", "sm_89"),))
        assert (
            unavailable("tensorrt", engined, device=2)
            == "device 2: this machine has 1 NVIDIA GPUs, counted from 0"
        )
        if importlib.util.find_spec("pycuda") is None:
            assert str(unavailable("tensorrt", engined)).startswith(
                "pycuda is not installed: pip install pycuda"
            )
        found = {"pycuda": object()}
        monkeypatch.setattr(backend_module.importlib.util, "find_spec", found.get)
        assert "is not installed: pip install tensorrt-rtx-cu13==1.7.1" in str(
            unavailable("tensorrt", engined)
        )


def test_on_the_gpu(tmp_path: Path):
    """Engines that are built here, against the CPU's float32."""
    if reason := nvidia.problem(0):
        pytest.skip(reason)
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("pycuda is not installed")
    torch = pytest.importorskip("torch")
    from fingergen.export.engines import EngineOptions
    from fingergen.export.exporter import Options as ExportOptions
    from fingergen.export.exporter import export_bundle

    checkpoint = tmp_path / "generator.pt"
    torch.save({"g_ema": tiny_bundle.generator(1).state_dict()}, checkpoint)
    try:
        options = ExportOptions("tiny", engine=EngineOptions(precision="fp32", batch=(2, 4, 8)))
        export_bundle([checkpoint], tmp_path / "bundle", options)
    except BadInput as error:
        pytest.skip(str(error))
    opened = open_bundle(tmp_path / "bundle")
    assert unavailable("tensorrt", opened) is None
    with load(tmp_path / "bundle", "onnxruntime") as cpu, load(tmp_path / "bundle", "tensorrt") as gpu:
        for count in (1, 8, 21):
            expected = cpu.generate(cpu.map(cpu.z(range(count))), "random", list(range(count)))
            found = gpu.generate(gpu.map(gpu.z(range(count))), "random", list(range(count)))
            assert np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()
