"""The check for machines with a GPU: what of it can be seen without one."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen import cpp_ops
from fingergen.benchmarks import bench, gpu_check, gpu_checks
from fingergen.benchmarks.contenders import Entry, OurBackend
from fingergen.benchmarks.gpu_check import build_package, export_bundle, main
from fingergen.benchmarks.gpu_checks import Check, backend_check, compare_kernels, pixel_check
from fingergen.benchmarks.job import Job
from fingergen.benchmarks.kernels import Case
from fingergen.benchmarks.peers import pytorch_cuda
from fingergen.benchmarks.timing import Latency
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.runtime.images import to_levels
from fingergen.training.checkpoints import save_generator

from .tiny_bundle import generator, write_tiny_bundle

ROOT = Path(__file__).parent.parent
SETTING = bench.Setting("tensorrt", "fp16", 1, 8)
RESULT = bench.Result(SETTING, "TensorRT", Latency(1, 1, 1, 1, 1), 800.0, 9.5, 0.004, 61.0)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that lists a GPU; no compiler."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9, 570.86, 23034 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CUDACXX", raising=False)
    monkeypatch.chdir(ROOT)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="gpu_check")


def fake_libraries(monkeypatch: pytest.MonkeyPatch, cuda: bool) -> None:
    real = cpp_ops.status

    def status(name: str) -> cpp_ops.LibraryStatus:
        return replace(real(name), cuda=cuda, reason="no nvcc", fix="install it")

    monkeypatch.setattr(cpp_ops, "status", status)


def test_without_a_gpu_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run()
    assert done.exit_code == 1
    assert done.stderr.strip() == (
        "gpu_check: error: this needs an NVIDIA GPU and its driver; nvidia-smi lists none here"
    )


def test_pixels_of_the_device_are_compared_with_those_of_the_host(tmp_path: Path) -> None:
    job = Job(read_bundle(write_tiny_bundle(tmp_path / "tiny")))
    check = pixel_check(job, Entry(OurBackend("onnxruntime"), "fp32"))
    assert check.passed and check.result.startswith("0.00% of the pixels differ, by 0 of 256 levels")


def test_pixels_that_are_wrong_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingergen.benchmarks.gpu_checks.to_levels", lambda raw: 255 - to_levels(raw))
    job = Job(read_bundle(write_tiny_bundle(tmp_path / "tiny")))
    assert pixel_check(job, Entry(OurBackend("onnxruntime"), "fp32")).passed is False


def test_outside_of_the_source_tree(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run()
    assert done.exit_code == 2 and "not FingerGen's source tree" in done.stderr


def test_table(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_libraries(monkeypatch, cuda=True)
    bundle, page = write_tiny_bundle(tmp_path / "tiny"), tmp_path / "result.md"
    done = run("--installed", "--bundle", bundle, "--batch", 1, "--batch", 2, "--seconds", 0.2, "--out", page)
    assert done.exit_code == 0, done.stderr
    assert page.read_text() == done.stdout
    lines = done.stdout.splitlines()
    assert "- GPU: NVIDIA L4, compute capability 8.9, 23034 MiB, driver 570.86" in lines
    assert "| kernels | not verified | no CUDA compiler (nvcc) on the PATH |" in lines
    assert sum(line.startswith("| onnxruntime, fp32, batch ") and "| passed |" in line for line in lines) == 2
    assert any(line.startswith("| pytorch-cuda | not verified |") for line in lines)


@pytest.mark.parametrize(("failure", "passed"), [(BadInput, None), (FingerGenError, False)])
def test_a_checkpoint_is_exported_with_engines_or_without(
    failure: type[Exception], passed: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where engines cannot be built the bundle comes without, and the table says why."""

    def refuse(flavour: str) -> None:
        raise failure("no TensorRT here")

    monkeypatch.setattr("fingergen.export.engines.target.choose_flavour", refuse)
    monkeypatch.setattr(gpu_check, "EXPORT", ())  # no float16: its checks take long
    save_generator(tmp_path / "g.pt", g_ema=generator(1))
    check = export_bundle(tmp_path / "g.pt", tmp_path / "bundle")
    assert check == Check("export, fp16 engines", "no TensorRT here", passed)
    assert read_bundle(tmp_path / "bundle").manifest.engines == ()


def test_without_a_checkpoint_weights_are_random(
    gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(path: Path) -> Path:
        save_generator(path, g_ema=generator(1))
        return path

    def export(checkpoint: Path, out: Path) -> Check:
        write_tiny_bundle(out)
        return Check("export", "built", True)

    fake_libraries(monkeypatch, cuda=True)
    monkeypatch.setattr(gpu_check, "random_checkpoint", small)
    monkeypatch.setattr(gpu_check, "export_bundle", export)
    done = run("--installed", "--batch", 1, "--seconds", 0.1)
    assert done.exit_code == 0, done.stderr
    assert "| export | passed | built |" in done.stdout


def test_a_failure_is_an_exit_code(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_libraries(monkeypatch, cuda=False)
    done = run(
        "--installed", "--bundle", write_tiny_bundle(tmp_path / "tiny"), "--batch", 1, "--seconds", 0.1
    )  # fmt: skip
    assert done.exit_code == 1 and "something failed: see the table" in done.stderr
    assert "| onnxruntime ops library | **failed** | no nvcc; install it |" in done.stdout


def test_the_new_build_is_what_is_checked(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that was built is another: its module tells where it is, and what it was told."""

    def build(source: Path, folder: Path) -> None:
        module = folder / "fingergen" / "benchmarks" / "gpu_check.py"
        module.parent.mkdir(parents=True)
        module.with_name("__init__.py").touch()  # else the installed package would come first
        told = tmp_path / "told.json"
        module.write_text(
            f"import json, sys\nopen({str(told)!r}, 'w').write(json.dumps(sys.argv))\nsys.exit(7)\n"
        )

    monkeypatch.setattr(gpu_check, "build_package", build)
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--batch", "4"])
    assert run("--batch", 4).exit_code == 7
    assert json.loads((tmp_path / "told.json").read_text())[1:] == ["--batch", "4", "--installed"]


def test_a_build_that_fails(tmp_path: Path) -> None:
    with pytest.raises(
        FingerGenError, match=r"pip install failed: .*Neither 'setup.py' nor 'pyproject.toml'"
    ):
        build_package(tmp_path, tmp_path / "target")


def test_wrong_kernels_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of one case is wrong in its last digits."""

    def nearly(program: Path, op: str, way: str, some: list[Case]) -> list[np.ndarray]:
        results = [case.expected.copy() for case in some]
        results[-2].flat[-1] += 0.02 if op == "UpFirDn2d" else 0
        return results

    monkeypatch.setattr(gpu_checks, "run_cases", nearly)
    checks = {check.what: check.passed for check in compare_kernels(tmp_path, "cuda")}
    assert checks == {
        "FusedLeakyReLU, cuda, float32": True,
        "FusedLeakyReLU, cuda, float16": True,
        "UpFirDn2d, cuda, float32": False,
        "UpFirDn2d, cuda, float16": False,
    }


def test_kernels_that_break_off(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'an illegal memory access was encountered' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(FingerGenError, match=r"cuda: .* ended with 3: an illegal memory access"):
        list(compare_kernels(broken, "cuda"))


def test_what_breaks_is_a_line_and_the_others_are_checked(
    gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler and a backend that fail."""
    fake_libraries(monkeypatch, cuda=True)
    nvcc = tmp_path / "nvcc"
    nvcc.write_text("#!/bin/sh\necho 'nvcc: unsupported GNU version' >&2\nexit 1\n")
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDACXX", str(nvcc))
    monkeypatch.setattr(pytorch_cuda, "unavailable", lambda job: None)
    bundle = write_tiny_bundle(tmp_path / "tiny")
    done = run("--installed", "--bundle", bundle, "--batch", 1, "--seconds", 0.1)
    assert done.exit_code == 1
    assert "| kernels | **failed** | nvcc failed: nvcc: unsupported GNU version |" in done.stdout
    assert "| pytorch-cuda, fp16 | **failed** | " in done.stdout
    assert "| onnxruntime, fp32, batch 1 | passed | " in done.stdout


@pytest.mark.parametrize(
    ("precision", "psnr", "passed"),
    [
        ("fp16", 51.0, True),
        ("fp16", 49.0, False),
        ("fp32", 59.0, False),
        ("bf16", 31.0, True),
        ("fp32", None, True),
    ],
)
def test_backends_must_agree_with_the_cpu(precision: str, psnr: float | None, passed: bool) -> None:
    setting = replace(SETTING, precision=precision)
    check = backend_check(replace(RESULT, setting=setting, psnr_db=psnr))
    assert check.passed is passed
    assert check.what == f"tensorrt, {precision}, batch 8" and "9.50 x the CPU" in check.result


def test_random_weights_are_not_compared() -> None:
    check = backend_check(replace(RESULT, max_abs_error=None, psnr_db=None))
    assert check == Check(check.what, check.result, True) and "random weights, not compared" in check.result
