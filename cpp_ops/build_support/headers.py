"""Finds the C++ headers of ONNX Runtime and TensorRT: named by the environment, on the system, or fetched.

Neither project ships headers with its Python package. Fetched ones come by the ordinary clients and are
unpacked in the build folder; nothing is installed on the system.
"""

import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands import CommandFailed, Unavailable, run

FETCH_TIMEOUT = 120  # seconds; without a network the clients give up much earlier


@dataclass(frozen=True)
class Library:
    """What a library's headers are called, where systems keep them, and how they are fetched."""

    title: str
    header: str
    variable: str
    subfolders: tuple[str, ...]
    fetch: Callable[[Path, Path], None]  # fills a folder, writes to a log
    advice: str


def find(library: Library, work: Path, log: Path) -> tuple[Path, str]:
    """The folder that holds the library's headers, and where it came from; `Unavailable` if there is none."""
    named = os.environ.get(library.variable)
    if named:
        if (Path(named) / library.header).is_file():
            return Path(named).resolve(), library.variable
        raise Unavailable(
            f"{library.variable}={named} has no {library.header}",
            f"point it at the folder of {library.title}'s headers, or unset it, and install again",
        )
    for folder in _system_folders(library):
        if (folder / library.header).is_file():
            return folder, "system"
    fetched = work / "headers" / library.title.replace(" ", "").lower()
    try:
        if not (fetched / library.header).is_file():
            library.fetch(fetched, log)
        return fetched, "fetched"
    except (CommandFailed, OSError, zipfile.BadZipFile) as error:
        fix = f"{library.advice} or set {library.variable} to their folder, and install again"
        raise Unavailable(
            f"no {library.title} headers on this machine, nor to be fetched ({error})", fix
        ) from error


def _system_folders(library: Library) -> list[Path]:
    roots = [Path(sys.prefix) / "include", Path("/usr/local/include"), Path("/usr/include")]
    roots += sorted(Path("/usr/include").glob("*-linux-gnu"))
    if "CONDA_PREFIX" in os.environ:
        roots.insert(0, Path(os.environ["CONDA_PREFIX"]) / "include")
    return [root / subfolder for root in roots for subfolder in library.subfolders]


def _fetch_onnxruntime(folder: Path, log: Path) -> None:
    """From Debian's libonnxruntime-dev, first of release 13 (trixie), by apt in its own folders."""
    work = folder.parent / "apt"
    shutil.rmtree(work, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "unpacked"):
        (work / part).mkdir(parents=True)
    (work / "sources.list").write_text(_debian_source("trixie", log) + "\n", encoding="utf-8")
    options = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": "0",
        "Acquire::http::Timeout": "15",
        "APT::Update::Error-Mode": "any",
    }
    apt = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
    run([*apt, "update"], log, timeout=FETCH_TIMEOUT)
    run([*apt, "download", "libonnxruntime-dev"], log, timeout=FETCH_TIMEOUT, folder=work)
    package = next(work.glob("libonnxruntime-dev_*.deb"))
    run(["dpkg-deb", "--extract", package, work / "unpacked"], log)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work / "unpacked/usr/include/onnxruntime", folder)
    shutil.rmtree(work)


def _debian_source(release: str, log: Path) -> str:
    """A sources.list line for a Debian release at the archive, and with the keys, that this machine uses."""
    system = platform.freedesktop_os_release()
    if system.get("ID") != "debian":
        raise CommandFailed("fetching is known for Debian only")
    for stanza in run(["apt-get", "indextargets", "Created-By: Packages"], log).split("\n\n"):
        target = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if target.get("Release") == system.get("VERSION_CODENAME") and target.get("Component") == "main":
            keys = f"[signed-by={target['Signed-By']}] " if target.get("Signed-By") else ""
            return f"deb {keys}{target['Repo-URI']} {release} main"
    raise CommandFailed("apt-get: no Debian archive is configured")


def _fetch_tensorrt(folder: Path, log: Path) -> None:
    """From PyPI's kernel-lens, which carries NVIDIA's headers of TensorRT 10.14 (Apache-2.0)."""
    download = folder.parent / "pip"
    download.mkdir(parents=True, exist_ok=True)
    wanted = download / "requirements.txt"
    wanted.write_text(
        "kernel-lens==2.0.1 --hash=sha256:07cc714e8b5e7f34b672f7c7fad93febe7c747be5837ba276b1527370134ffe0\n",
        encoding="utf-8",
    )
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    pip += ["--retries", "1", "--timeout", "15", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    run([*pip, "--dest", download, "--requirement", wanted], log, timeout=FETCH_TIMEOUT)
    inside = "kernel_lens/include/tensorrt/"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(next(download.glob("kernel_lens-*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith(inside) and name.endswith(".h"):
                (folder / Path(name).name).write_bytes(wheel.read(name))
    shutil.rmtree(download)


ONNXRUNTIME = Library(
    title="ONNX Runtime",
    header="onnxruntime_cxx_api.h",
    variable="FINGERGEN_ONNXRUNTIME_INCLUDE",
    subfolders=("onnxruntime", "onnxruntime/core/session", "."),
    fetch=_fetch_onnxruntime,
    advice="install libonnxruntime-dev (Debian 13, Ubuntu 24.10 or newer)",
)
TENSORRT = Library(
    title="TensorRT",
    header="NvInferRuntime.h",
    variable="FINGERGEN_TENSORRT_INCLUDE",
    subfolders=(".",),
    fetch=_fetch_tensorrt,
    advice="install libnvinfer-headers-dev (NVIDIA's repository)",
)
