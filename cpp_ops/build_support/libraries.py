"""Builds the op libraries with CMake, as far as this machine allows, and reports what became of each."""

import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path

import headers
from commands import CommandFailed, Unavailable, run

LIBRARIES = {
    "onnxruntime": headers.ONNXRUNTIME,
    "tensorrt": headers.TENSORRT,
    "c_api": headers.ONNXRUNTIME,  # libfingergen of runtime/c_api
}
KERNELS = ("onnxruntime", "tensorrt")  # the libraries that have kernels
REPORT = "build_report.json"

ROOT = Path(__file__).resolve().parents[2]

Entry = dict[str, str | bool | None]


def file_name(name: str) -> str:
    """File name of the shared library `name`, one of `LIBRARIES`."""
    return "libfingergen.so" if name == "c_api" else f"libfingergen_{name}.so"


def outputs(target: Path) -> list[Path]:
    """The files that a build has left in `target`."""
    return [
        path for path in (target / REPORT, *(target / file_name(name) for name in LIBRARIES)) if path.exists()
    ]


def build(source: Path, work: Path, target: Path) -> dict[str, Entry]:
    """Builds what can be built of `source` in `work`, puts it and the report into `target`; never raises."""
    for old in outputs(target):
        old.unlink()
    try:
        report = _build(source, work, target)
    except Unavailable as lack:
        report = {name: _missing(lack) for name in LIBRARIES}
    except Exception as error:  # whatever it is, the package works without the libraries
        broken = Unavailable(f"the build broke off ({error!r})", "report this, please")
        report = {name: _missing(broken) for name in LIBRARIES}
    target.mkdir(parents=True, exist_ok=True)
    (target / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _missing(lack: Unavailable) -> Entry:
    return {"built": False, "cuda": False, "headers": None, "reason": lack.reason, "fix": lack.fix}


def _build(source: Path, work: Path, target: Path) -> dict[str, Entry]:
    if os.environ.get("FINGERGEN_BUILD_OPS") == "0":
        raise Unavailable("FINGERGEN_BUILD_OPS=0 was set", "unset it and install again")
    if not sys.platform.startswith("linux"):
        raise Unavailable(f"the libraries are for Linux, this is {sys.platform}", "nothing to be done")
    if not any(map(shutil.which, (os.environ.get("CXX", "c++").split()[0], "g++", "clang++"))):
        raise Unavailable("no C++ compiler was found", "install one (g++ or clang++) and install again")
    work.mkdir(parents=True, exist_ok=True)
    log = work / "build.log"
    log.unlink(missing_ok=True)

    settings: list[str] = []
    found: dict[str, tuple[Path, str]] = {}
    report: dict[str, Entry] = {}
    for name, library in LIBRARIES.items():
        try:
            found[name] = headers.find(library, work, log)
            if name == "c_api":
                settings += _c_api_settings()
        except Unavailable as lack:
            found.pop(name, None)
            report[name] = _missing(lack)

    if not found:
        return report
    cmake = _CMake(source, work, log, {name: folder for name, (folder, _) in found.items()}, settings)
    no_cuda = cmake.configure()
    for name, (_, origin) in found.items():
        if name == "tensorrt" and no_cuda:
            report[name] = _missing(no_cuda)
            continue
        try:
            cmake.build(f"fingergen_{name}")
        except CommandFailed as error:
            report[name] = _missing(_compile_failure(error))
            continue
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(cmake.folder / file_name(name), target / f"{file_name(name)}.part")
        os.replace(target / f"{file_name(name)}.part", target / file_name(name))
        report[name] = {
            "built": True,
            "cuda": no_cuda is None and name in KERNELS,
            "headers": origin,
            "reason": f"without CUDA kernels: {no_cuda.reason}" if no_cuda and name in KERNELS else None,
            "fix": no_cuda.fix if no_cuda and name in KERNELS else None,
        }
    return report


def _c_api_settings() -> list[str]:
    """What libfingergen needs besides headers: NumPy's random distributions, and the version."""
    found = importlib.util.find_spec("numpy")
    random = Path(found.origin or "").parent / "random" / "lib" / "libnpyrandom.a" if found else None
    if random is None or not random.is_file():
        raise Unavailable("NumPy's libnpyrandom.a was not found", "pip install numpy, and install again")
    code = (ROOT / "src" / "fingergen" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"', code, re.MULTILINE)
    assert version is not None
    return [f"-DFINGERGEN_NPYRANDOM={random}", f"-DFINGERGEN_VERSION={version[1]}"]


def _compile_failure(error: CommandFailed) -> Unavailable:
    return Unavailable(f"it did not compile ({error})", "see build/cpp_ops/build.log in the source tree")


class _CMake:
    """One build folder, configured with CUDA where that works and without where not."""

    def __init__(
        self, source: Path, work: Path, log: Path, includes: dict[str, Path], settings: list[str]
    ) -> None:
        self.folder = work / "cmake"
        self._source, self._log = source, log
        self._program, ninja = _tools(work, log)
        self._settings = [f"-DFINGERGEN_{name.upper()}_INCLUDE={folder}" for name, folder in includes.items()]
        self._settings += settings
        self._settings += ["-GNinja", f"-DCMAKE_MAKE_PROGRAM={ninja}"] if ninja else []

    def configure(self) -> Unavailable | None:
        """Readies the build and builds the CUDA kernels; the reason if it has to go without them."""
        nvcc = _nvcc()
        if nvcc is None:
            self._configure("-DFINGERGEN_CUDA=OFF")
            fix = "install the CUDA toolkit, set CUDACXX to its nvcc if not on the PATH, and install again"
            return Unavailable("no CUDA compiler (nvcc) was found", fix)
        cuda = ["-DFINGERGEN_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={nvcc}"]
        architectures = os.environ.get("FINGERGEN_CUDA_ARCHITECTURES")
        if architectures:
            cuda.append(f"-DCMAKE_CUDA_ARCHITECTURES={architectures}")
        try:
            self._configure(*cuda)
            self.build("cuda_kernels")
            return None
        except CommandFailed as error:
            self._configure("-DFINGERGEN_CUDA=OFF")
            failure = _compile_failure(error)
            return Unavailable(f"nvcc failed ({error})", failure.fix)

    def build(self, goal: str) -> None:
        run(
            [self._program, "--build", self.folder, "--target", goal, "--parallel", str(os.cpu_count())],
            self._log,
        )

    def _configure(self, *settings: str) -> None:
        # A cache of an earlier configuration would bring back its compilers; object files may stay.
        (self.folder / "CMakeCache.txt").unlink(missing_ok=True)
        for stale in self.folder.glob("CMakeFiles/[0-9]*"):
            shutil.rmtree(stale)
        run([self._program, "-S", self._source, "-B", self.folder, *self._settings, *settings], self._log)


def _tools(work: Path, log: Path) -> tuple[str | Path, str | Path | None]:
    """CMake and Ninja: the system's, else PyPI's in the build folder. No Ninja: CMake's own choice, make."""
    cmake, ninja = shutil.which("cmake"), shutil.which("ninja")
    if cmake and (ninja or shutil.which("make")):
        return cmake, ninja
    tools = work / "tools"
    try:
        if not tools.exists():
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ]
            pip += ["--retries", "1", "--timeout", "15", "--only-binary", ":all:", "--target", str(tools)]
            run([*pip, "cmake>=3.18", "ninja"], log)
        return next(tools.glob("cmake/data/bin/cmake")), next(tools.glob("**/bin/ninja"))
    except (CommandFailed, StopIteration) as error:
        reason = f"no CMake was found, nor to be fetched ({error})"
        raise Unavailable(reason, "install cmake and ninja, and install again") from error


def _nvcc() -> str | None:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which("nvcc", path=f"{home}/bin")
