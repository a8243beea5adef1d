"""A real Triton server on the loopback interface, and its client, for tests.

The server comes from the wheel of nvidia-pytriton, unpacked: its metadata asks for NumPy 1, so that it cannot
be installed beside FingerGen. The client lies in a folder of its own, for it asks for an older protobuf. pip
puts both into the user's cache, once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fingergen.runtime.files import replacing, user_cache

SERVER, CLIENT = "nvidia-pytriton==0.7.0", "tritonclient[grpc,http]==2.73.0"
STARTED_WITHIN = 240  # seconds, on a busy machine


def _fetched(name: str, *arguments: str) -> Path:
    """A folder of the cache that pip has filled; skips the test where it cannot."""
    folder = user_cache() / "tests" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes wait
        if not folder.is_dir():
            with replacing(folder) as partial:
                _fetch(name, partial, *arguments)
    return folder


def _fetch(name: str, partial: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, str(partial)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if result.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        pytest.skip(f"{name} cannot be had: {result.stderr.strip().splitlines()[-1:]}")
    for wheel in partial.glob("nvidia_pytriton*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial)
        wheel.unlink()


def client_folder() -> Path:
    """The folder with tritonclient, for PYTHONPATH."""
    return _fetched(CLIENT, "install", "--quiet", CLIENT, "--target")


def _server_folder() -> Path:
    folder = _fetched(SERVER, "download", "--quiet", "--no-deps", SERVER, "--dest")
    home = folder / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "backends" / "python" / "triton_python_backend_stub"
    if not stub.exists():
        source = home / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not source.exists():
            pytest.skip(f"the server has no Python backend for Python {version}")
        with replacing(stub) as partial:
            shutil.copy(source, partial)
    for program in (stub, home / "bin" / "tritonserver"):
        program.chmod(0o755)
    return folder


class Server:
    """A running server.

    Attributes:
        http, grpc, metrics: Its ports on 127.0.0.1.
        process: The server's process.
        log: What it prints.
    """

    def __init__(self, repository: Path, log: Path) -> None:
        folder = _server_folder()
        home = folder / "pytriton" / "tritonserver"
        self.http, self.grpc, self.metrics = _free_ports(3)
        self.log = log
        ports = {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}
        options = [f"--{name}-address=127.0.0.1" for name in ports]
        options += [f"--{name}-port={port}" for name, port in ports.items()]
        libraries = [folder / "nvidia_pytriton.libs", Path(str(sysconfig.get_config_var("LIBDIR")))]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            # The backend's Python ignores PYTHONPATH: it is that of the first python3, with its packages.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    str(home / "bin" / "tritonserver"),
                    f"--model-repository={repository}",
                    f"--backend-directory={home / 'backends'}",
                    *options,
                ],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        """(status, body) of an HTTP request; status 0 if nobody answers."""
        address = f"http://127.0.0.1:{port or self.http}{path}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:  # a fixed address
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait(self) -> None:
        """Wait until every model is ready."""
        end = time.monotonic() + STARTED_WITHIN
        while self.get("/v2/health/ready")[0] != 200:
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()[-4000:]
            time.sleep(0.2)

    def stop(self) -> int:
        """Ask the server to drain and end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def running(repository: Path, log: Path) -> Iterator[Server]:
    """A server that is ready, and is stopped after the block."""
    server = Server(repository, log)
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
