"""ONNX Runtime backends: what a GPU's do with arrays is run here on the CPU's execution provider."""

import itertools
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fingergen.runtime import load
from fingergen.runtime.backends import AUTO, BACKENDS, Options, nvidia, open_backend, unavailable
from fingergen.runtime.backends.batching import BatchFailed
from fingergen.runtime.backends.graphs import graph_files, part, synthesis_inputs
from fingergen.runtime.backends.ort import cpu as cpu_module
from fingergen.runtime.backends.ort import gpu
from fingergen.runtime.backends.ort.cpu import OnnxRuntimeCpu
from fingergen.runtime.backends.ort.gpu import OnnxRuntimeBatches
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.backends.ort.sessions import CPU_PROVIDER, Sessions, ops_library, use_threads
from fingergen.runtime.bundle import Bundle, open_bundle
from fingergen.runtime.errors import BadInput, FingerGenError

from .. import tiny_bundle

GPU_BACKENDS = [name for name in BACKENDS if name.startswith("onnxruntime-")]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", own_decoder=True)


@pytest.fixture(scope="module")
def bundle(path: Path) -> Bundle:
    return open_bundle(path)


class Batches(OnnxRuntimeBatches):
    """Whole batches on the CPU's execution provider."""

    name = "batches"

    @classmethod
    def sessions(cls, bundle: Bundle, device: int, precision: str):
        raise NotImplementedError


@pytest.fixture
def batches(bundle: Bundle) -> OnnxRuntimeBatches:
    files = graph_files(bundle.manifest, "fp32")
    sessions = Sessions(bundle, files, lambda graph: [CPU_PROVIDER], ops_library())
    return Batches(bundle, sessions, "CPU in whole batches")


class TestWholeBatches:
    @pytest.mark.parametrize("noise", ["const", "random"])
    def test_as_one_image_at_a_time(self, bundle: Bundle, path: Path, batches, noise: str, monkeypatch):
        monkeypatch.setattr(gpu, "LARGEST_BATCH", 3)
        with load(path, "onnxruntime", workers=1) as single:
            w = single.styles(single.map(single.z(range(7))))
            buffers = single.noise_buffers(noise, list(range(7)), 7)
            for method in ("synthesize", "decode"):
                expected = getattr(single.backend, method)(w, buffers)
                found = getattr(batches, method)(w, buffers)
                assert found.shape == expected.shape and found.dtype == np.float32
                assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
            z = single.z(range(7))
            assert np.abs(batches.map(z) - single.map(z)).max() < 1e-4
            maps = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
            assert np.abs(batches.encode(maps).w - single.backend.encode(maps).w).max() < 1e-3

    def test_out_of_memory_makes_batches_smaller(self, batches, caplog: pytest.LogCaptureFixture):
        run_into, seen = batches._run_into, []

        def full_above_two(graph, inputs, result) -> None:
            seen.append(len(result))
            if len(result) > 2:
                raise BatchFailed("full")
            run_into(graph, inputs, result)

        z = np.random.default_rng(0).standard_normal((5, 32)).astype(np.float32)
        expected = batches.map(z)
        batches._run_into = full_above_two
        assert np.abs(batches.map(z) - expected).max() < 1e-5
        assert seen == [5, 2, 2, 1]
        assert "batches: no batch of 5 here; batches of 2 from now on (full)" in caplog.text

    def test_wrong_inputs_name_the_graph(self, batches):
        with pytest.raises(BadInput, match=r"mapping graph: z: float32 \(2, 31\); must be float32 \(N, 32\)"):
            batches.map(np.zeros((2, 31), np.float32))

    def test_values_that_are_not_finite(self, batches, monkeypatch):
        z = np.zeros((2, 32), np.float32)
        z[1, 3] = np.nan
        with pytest.raises(BadInput, match="mapping graph: z: has values that are not finite"):
            batches.map(z)

    def test_a_failure_of_the_library_names_bundle_and_graph(self, batches, monkeypatch):
        monkeypatch.setattr(batches, "_check_inputs", lambda graph, inputs: None)
        with pytest.raises(FingerGenError, match=r"tiny: mapping graph: "):
            batches.map(np.zeros((2, 31), np.float32))


class TestUnavailable:
    @pytest.mark.parametrize("name", GPU_BACKENDS)
    def test_package_of_the_cpu(self, bundle: Bundle, name: str):
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("onnxruntime-gpu is installed")
        reason = unavailable(name, bundle)
        assert reason is not None and "which is for CPUs: pip uninstall" in reason and "\n" not in reason
        with pytest.raises(BadInput, match=f"backend {name}: .*onnxruntime-gpu"):
            open_backend(name, bundle)

    @pytest.mark.parametrize(
        ("installed", "message"),
        [
            ({"onnxruntime"}, "which is for CPUs"),
            ({"onnxruntime", "onnxruntime-gpu"}, "share a folder"),
            ({"onnxruntime-gpu"}, "has no CUDAExecutionProvider"),
        ],
    )
    def test_packages_that_clash(self, installed: set[str], message: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(gpu, "_installed", installed.__contains__)
        assert message in gpu._no_provider("CUDAExecutionProvider")

    def test_no_gpu(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
        if not isinstance(nvidia.gpus(), str):
            pytest.skip("this machine has a GPU")
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
        assert "NVIDIA driver" in str(unavailable("onnxruntime-cuda", bundle))

    def test_provider_that_does_not_start(self, bundle: Bundle, capfd: pytest.CaptureFixture[str]):
        if not isinstance(nvidia.gpus(), str):
            pytest.skip("this machine has a GPU")
        reason = gpu._does_not_start("CUDAExecutionProvider", bundle, 0)
        assert reason is not None and reason.startswith("CUDAExecutionProvider does not start: ")
        assert capfd.readouterr() == ("", "")

    def test_device_and_precision(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(nvidia, "gpus", lambda: (nvidia.Gpu("one", "sm_90"),))
        assert nvidia.problem(0) is None
        assert nvidia.problem(1) == "device 1: this machine has 1 NVIDIA GPUs, counted from 0"
        assert "no fp16 graphs" in str(unavailable("onnxruntime", bundle, precision="fp16"))
        with pytest.raises(BadInput, match="device: -1"):
            open_backend("auto", bundle, device=-1)

    def test_auto_takes_what_is_usable(self, bundle: Bundle):
        usable = [name for name in AUTO if unavailable(name, bundle) is None]
        backend = open_backend("auto", bundle, 1)
        assert backend.name == usable[0]
        backend.close()

    def test_nothing_of_a_gpu_is_imported_for_the_cpu(self, path: Path):
        script = (
            "import sys; from fingergen.runtime import load\n"
            f"load({str(path)!r}, 'onnxruntime', workers=1).synthesize([0])\n"
            "print([m for m in sys.modules if 'tensorrt' in m or 'pycuda' in m or '_gpu' in m])"
        )
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert out.stdout.strip() == "[]"


def test_profiles_of_the_tensorrt_provider(bundle: Bundle, tmp_path: Path):
    options = gpu.tensorrt_options(bundle.manifest, "synthesis", "fp16", tmp_path)
    assert options["trt_profile_min_shapes"].startswith("w:1x8x32,noise_0:1x1x4x4,noise_1:1x1x8x8,")
    assert options["trt_profile_opt_shapes"].startswith("w:32x8x32,noise_0:1x1x4x4,")
    assert options["trt_profile_max_shapes"].endswith(",noise_6:256x1x32x32")
    assert options["trt_fp16_enable"] == "1" and all(isinstance(value, str) for value in options.values())


def test_engines_are_kept_by_bundle_architecture_and_precision(bundle: Bundle, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {
        gpu.engine_cache(bundle, *each) for each in [("sm_89", "fp16"), ("sm_90", "fp16"), ("sm_90", "fp32")]
    }
    assert len(folders) == 3 and all(folder.is_dir() for folder in folders)


class TestThreadsInsideAnImage:
    """Bits must not depend on the number of threads nor on the batch, for any kind of graph."""

    @pytest.fixture(scope="class")
    def inputs(self, path: Path):
        with load(path, "onnxruntime", workers=1) as model:
            z = model.z(range(4))
            synthesis = synthesis_inputs(
                model.styles(model.map(z)), model.noise_buffers("random", range(4), 4)
            )
            maps = np.random.default_rng(0).random((4, 3, 32, 32), np.float32)
            every = {
                "mapping": {"z": z},
                "synthesis": synthesis,
                "decoder": synthesis,
                "encoder": {"map": maps},
            }
            return {graph: (each, model.backend.run(graph, each)) for graph, each in every.items()}

    @pytest.mark.parametrize("graph", ["mapping", "synthesis", "decoder", "encoder"])
    @pytest.mark.parametrize("custom", [True, False])
    def test_bits(self, bundle: Bundle, inputs, graph: str, custom: bool, monkeypatch):
        if not custom:
            monkeypatch.setattr(cpu_module, "ops_library", lambda: None)
        given, expected = inputs[graph]
        if not custom:
            with OnnxRuntimeCpu(bundle, Options(1)) as one:
                expected = one.run(graph, given)
        for threads in (2, 3, 4, 5, 7, 8):
            with OnnxRuntimeCpu(bundle, Options(threads)) as backend:
                assert np.array_equal(backend.run(graph, given), expected)  # threaded from 5 on
                for i in range(4):
                    assert np.array_equal(backend.run(graph, part(given, i, 1)), expected[i : i + 1])
                assert np.array_equal(backend.run(graph, part(given, 1, 2)), expected[1:3])

    @pytest.mark.parametrize("graph", ["synthesis", "decoder"])
    @pytest.mark.parametrize("custom", [True, False])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_one_value_that_is_not_finite(
        self, bundle: Bundle, inputs, graph: str, custom: bool, value: float, monkeypatch
    ):
        """In any input, which is looked through only if the image shows that."""
        if not custom:
            monkeypatch.setattr(cpu_module, "ops_library", lambda: None)
        given, _ = inputs[graph]
        with OnnxRuntimeCpu(bundle, Options(2)) as backend:
            assert backend.shows_all(graph)
            for name, pixels in itertools.product(given, (False, True)):
                bad = given | {name: given[name].copy()}
                bad[name][1].flat[-1] = value
                with pytest.raises(BadInput, match=f"{graph} graph: {name}: has values that are not finite"):
                    backend.run(graph, bad, pixels)

    def test_calls_that_overlap_do_not_share_the_threads(self, bundle: Bundle, inputs, monkeypatch):
        given, expected = inputs["mapping"]
        with OnnxRuntimeCpu(bundle, Options(2)) as backend:
            used = []
            run = backend._run
            monkeypatch.setattr(backend, "_run", lambda *args: (used.append(args[0]), run(*args))[1])
            backend.run("mapping", part(given, 0, 1))
            with backend._threads_in_use:  # as while another call has them
                assert np.array_equal(backend.run("mapping", part(given, 0, 1)), expected[:1])
            backend.run("mapping", part(given, 0, 1))
            assert used == [backend._threaded, backend._sessions, backend._threaded]

    @pytest.mark.parametrize("workers", [1, 2])
    def test_short_runs_are_made_on_the_thread_of_their_caller(
        self, bundle: Bundle, inputs, workers: int, monkeypatch
    ):
        given, expected = inputs["mapping"]
        with OnnxRuntimeCpu(bundle, Options(workers)) as backend:
            threads = []
            run = backend._run
            monkeypatch.setattr(
                backend, "_run", lambda *args: (threads.append(threading.current_thread()), run(*args))[1]
            )
            for seconds in (60.0, 60.0, 0.0):  # nothing is known of the first
                monkeypatch.setattr(cpu_module, "SHORT", seconds)
                assert np.array_equal(backend.run("mapping", part(given, 0, 1)), expected[:1])
            assert [thread is threading.current_thread() for thread in threads] == [False, True, False]


@pytest.mark.parametrize("images", [1, 2])
def test_graphs_load_ahead_in_the_sessions_that_will_run(bundle: Bundle, images: int):
    with OnnxRuntimeCpu(bundle, Options(2)) as backend:
        backend.preload(("mapping", "synthesis"), images)
        backend._ahead.join()
        ahead, other = backend._sessions, backend._threaded
        if images == 1:
            ahead, other = other, ahead
        assert ahead.loaded("mapping") and ahead.loaded("synthesis")
        assert not other.loaded("mapping") and not ahead.loaded("encoder")


def test_what_cannot_be_loaded_ahead_is_an_error_when_it_runs(path: Path, bundle: Bundle, tmp_path: Path):
    whole = Path(shutil.copytree(path, tmp_path / "bundle"))
    with OnnxRuntimeCpu(open_bundle(whole), Options(1)) as backend:
        (whole / bundle.manifest.graphs.mapping).unlink()
        backend.preload(("mapping",), 1)
        with pytest.raises(BadInput, match="missing from the bundle"):
            backend.map(np.zeros((1, 32), np.float32))


@pytest.mark.parametrize("levels", [False, True])
def test_images_that_are_not_finite_are_an_error(tmp_path: Path, monkeypatch, levels: bool):
    broken = tiny_bundle.generator(1)
    broken.to_rgb1.bias.data.fill_(np.nan)
    monkeypatch.setattr(tiny_bundle, "generator", lambda *arguments: broken)
    with load(tiny_bundle.write_tiny_bundle(tmp_path / "nan", with_encoder=False), "onnxruntime") as model:
        w = model.styles(model.map(model.z(range(3))))
        compute = model.backend.render if levels else model.backend.synthesize
        with pytest.raises(FingerGenError, match=r"synthesis graph: its output .* not finite"):
            compute(w, model.noise_buffers("const", None, 3))


def test_a_closed_backend_says_so(bundle: Bundle):
    with OnnxRuntimeCpu(bundle, Options(1)) as backend:
        backend.map(np.zeros((1, 32), np.float32))
    backend.close()
    with pytest.raises(FingerGenError, match="the onnxruntime backend is closed"):
        backend.map(np.zeros((1, 32), np.float32))


@pytest.mark.parametrize("name", GPU_BACKENDS)
def test_on_the_gpu(name: str, path: Path, bundle: Bundle):
    """Against the CPU's float32, for small and large batches with noise of their own."""
    if reason := unavailable(name, bundle):
        pytest.skip(reason)
    with load(path, "onnxruntime") as cpu, load(path, name) as gpu:
        for count in (1, 5, 33):
            expected = cpu.generate(cpu.map(cpu.z(range(count))), "random", list(range(count)))
            found = gpu.generate(gpu.map(gpu.z(range(count))), "random", list(range(count)))
            assert np.abs(found - expected).max() < 1e-2 * np.abs(expected).max()


def test_cuda_options_are_strings():
    assert all(isinstance(value, str) for value in gpu.cuda_options(1).values())
    assert gpu.cuda_options(1)["device_id"] == "1"


@pytest.mark.parametrize(("release", "spins"), [("1.25.1", "0"), ("1.26.0", "1"), ("2.0.0", "1")])
def test_threads_spin_only_where_the_duration_can_be_set(
    release: str, spins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", release)
    options = onnxruntime.SessionOptions()
    use_threads(options, 3)
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == spins
    assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "50"
